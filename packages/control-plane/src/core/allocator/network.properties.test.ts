import {
  type Network,
  NetworkSpec,
  parseIpv4,
  parseSubnet,
  type Subnet,
  subnetHas,
  subnetsOverlap,
  type VirtualIp,
} from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FIRST_VNI, gatewayAddress, networkLayout, pickRange } from "./address-pool.js";
import { applyNetwork } from "./apply-network.js";
import { updateVirtualIps, VIP_QUARANTINE_MS } from "./virtual-ips.js";

/** So small that it fills up. */
const POOL = { subnet: { base: 0x0a400000, prefix: 18 }, networkPrefix: 22 };
const fraction = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const OWN_SUBNETS = ["", "", "", "10.64.0.0/20", "10.64.8.0/24", "172.20.0.0/16", "172.20.5.0/24"];

function parsed(text: string): Subnet {
  const subnet = parseSubnet(text);
  if (subnet === undefined) throw new Error(`${text} is no subnet`);
  return subnet;
}

describe("networks", () => {
  it("never assigns a subnet or a number to two networks (property, random histories)", () => {
    const step = fc.record({
      name: fc.constantFrom(
        "a",
        "b",
        "c",
        "d",
        "e",
        "f",
        "g",
        "h",
        "i",
        "j",
        "k",
        "l",
        "m",
        "n",
        "o",
        "p",
        "q",
        "r",
      ),
      subnet: fc.constantFrom(...OWN_SUBNETS),
      removes: fc.boolean(),
      random: fraction,
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const networks = new Map<string, Network>();
        for (const { name, subnet, removes, random } of steps) {
          if (removes) {
            networks.delete(name);
            continue;
          }
          const existing = networks.get(name);
          const others = [...networks.values()].filter(({ id }) => id !== existing?.id);
          const context = { id: name, nowMs: 1, pool: POOL, others, nodes: [], random: () => random };
          const outcome = applyNetwork(existing, NetworkSpec.fromPartial({ name, subnet }), context);
          if (outcome.kind === "refused") {
            if (existing === undefined && subnet === "") expect(others.length).toBeGreaterThan(4);
            continue;
          }
          if (existing !== undefined) expect(outcome.network.subnet).toBe(existing.subnet);
          networks.set(name, outcome.network);
        }
        const all = [...networks.values()];
        for (const [index, a] of all.entries()) {
          expect(a.vni).toBeGreaterThanOrEqual(FIRST_VNI);
          expect(a.vni).toBeLessThan(2 ** 24);
          for (const b of all.slice(index + 1)) {
            expect(a.vni).not.toBe(b.vni);
            expect(subnetsOverlap(parsed(a.subnet), parsed(b.subnet))).toBe(false);
          }
        }
      }),
    );
  });

  it("gives every host a range of its own, without virtual IPs and static addresses (property)", () => {
    const prefix = fc.integer({ min: 16, max: 26 });
    const hosts = fc.array(fc.tuple(fc.integer({ min: 0, max: 40 }), fc.boolean()), { maxLength: 80 });
    fc.assert(
      fc.property(prefix, hosts, fc.array(fraction, { maxLength: 5 }), (bits, changes, chosen) => {
        const subnet = { base: 0xac140000, prefix: bits };
        const layout = networkLayout(subnet);
        const staticAddresses = chosen.map((each) => subnet.base + Math.floor(each * 2 ** (32 - bits)));
        const ranges = new Map<number, Subnet>();
        for (const [host, joins] of changes) {
          if (!joins) ranges.delete(host);
          if (!joins || ranges.has(host)) continue;
          const range = pickRange(subnet, { taken: [...ranges.values()], staticAddresses });
          if (range !== undefined) {
            ranges.set(host, range);
          } else {
            expect(ranges.size).toBeGreaterThanOrEqual(
              layout.endRange - layout.firstRange - staticAddresses.length,
            );
          }
        }
        const all = [...ranges.values()];
        for (const [index, range] of all.entries()) {
          expect(subnetHas(subnet, range.base)).toBe(true);
          expect(subnetHas(range, gatewayAddress(range))).toBe(true);
          expect(subnetsOverlap(range, layout.virtualIps)).toBe(false);
          expect(staticAddresses.some((address) => subnetHas(range, address))).toBe(false);
          for (const other of all.slice(index + 1)) expect(subnetsOverlap(range, other)).toBe(false);
        }
      }),
    );
  });
});

describe("addresses of services", () => {
  it("never assigns an address to two services, nor to another one within an hour (property)", () => {
    const step = fc.record({
      service: fc.constantFrom("s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"),
      joins: fc.boolean(),
      afterMs: fc.constantFrom(1, 1_000, VIP_QUARANTINE_MS / 3, VIP_QUARANTINE_MS),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        // Eight addresses: two are reserved, and a service has chosen one.
        const network = { id: "n", subnet: "10.64.0.0/26", staticAddresses: ["10.64.0.5"] };
        const vips = new Map<string, VirtualIp>();
        const lastHad = new Map<string, { readonly serviceId: string; readonly untilMs: number }>();
        let nowMs = 1;
        for (const { service, joins, afterMs } of steps) {
          nowMs += afterMs;
          const before = vips.get(service);
          const attached = joins ? [{ ...network, vips: [...vips.values()] }] : [];
          const changes = updateVirtualIps(service, {
            attached,
            held: before === undefined ? [] : [before],
            nowMs,
          });
          for (const { serviceId } of changes.expired) vips.delete(serviceId);
          for (const vip of changes.put) {
            vips.set(vip.serviceId, vip);
            if (vip.releasedAtMs !== 0) {
              lastHad.set(vip.address, { serviceId: service, untilMs: nowMs });
              continue;
            }
            const had = lastHad.get(vip.address);
            const isFree =
              had === undefined || had.serviceId === service || nowMs - had.untilMs >= VIP_QUARANTINE_MS;
            expect(isFree).toBe(true);
          }
          const addresses = [...vips.values()].map(({ address }) => address);
          expect(new Set(addresses).size).toBe(addresses.length);
          expect(addresses).not.toContain("10.64.0.5");
          for (const address of addresses) {
            expect(subnetHas(networkLayout(parsed(network.subnet)).virtualIps, parseIpv4(address) ?? 0)).toBe(
              true,
            );
          }
        }
      }),
    );
  });

  it("returns an address to its service within the hour, and gives other services another one", () => {
    const network = { id: "n", subnet: "10.64.0.0/18", staticAddresses: [], vips: [] };
    const [vip] = updateVirtualIps("s1", { attached: [network], held: [], nowMs: 5 }).put;
    expect(vip).toEqual({ networkId: "n", serviceId: "s1", address: "10.64.7.255", releasedAtMs: 0 });
    const held = vip === undefined ? [] : [vip];
    expect(updateVirtualIps("s1", { attached: [{ ...network, vips: held }], held, nowMs: 6 })).toEqual({
      put: [],
      expired: [],
    });
    const released = updateVirtualIps("s1", { attached: [], held, nowMs: 7 }).put;
    expect(released).toEqual([{ ...vip, releasedAtMs: 7 }]);
    const again = updateVirtualIps("s1", {
      attached: [{ ...network, vips: released }],
      held: released,
      nowMs: 8,
    });
    expect(again.put).toEqual(held);
    const other = updateVirtualIps("s2", { attached: [{ ...network, vips: released }], held: [], nowMs: 9 });
    expect(other.put.map(({ address }) => address)).toEqual(["10.64.7.254"]);
  });
});

describe("networkLayout", () => {
  it.each([
    ["10.64.0.0/18", { vips: 21, range: 25, first: 16, end: 128, room: 126 }],
    ["172.20.0.0/16", { vips: 19, range: 25, first: 64, end: 512, room: 126 }],
    ["172.20.0.0/24", { vips: 27, range: 28, first: 2, end: 16, room: 14 }],
    ["172.20.0.0/26", { vips: 29, range: 30, first: 2, end: 16, room: 2 }],
  ])("networkLayout divides %s into virtual IPs and ranges", (text, expected) => {
    const {
      virtualIps: vips,
      rangePrefix,
      firstRange,
      endRange,
      addressesPerRange: roomPerRange,
    } = networkLayout(parsed(text));
    const found = {
      vips: vips.prefix,
      range: rangePrefix,
      first: firstRange,
      end: endRange,
      room: roomPerRange,
    };
    expect(found).toEqual(expected);
  });
});
