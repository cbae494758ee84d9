import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import type { NamesTable } from "../../dns/names-table.js";
import { rendezvous } from "../rendezvous.js";
import { addressChanges, presentVips } from "./vip-addresses.js";
import { REMOVE_VIPS, vipScript, vipsOf } from "./vip-script.js";

const NETWORK = {
  id: "n1",
  name: "shop_default",
  stack: "shop",
  subnet: "10.64.0.0/18",
  gateway: "10.64.1.1",
  bridge: "bth4097",
};
const service = (name: string, fields: Partial<NamesTable["services"][number]>) => ({
  key: `n1/${name}`,
  networkId: "n1",
  service: `shop_${name}`,
  stack: "shop",
  names: [name],
  vip: "",
  endpoints: [],
  draining: [],
  ...fields,
});
const endpoint = (address: string) => ({ id: address, nodeId: "h1", address, slot: 1 });
const TABLE: NamesTable = {
  networks: [NETWORK],
  services: [
    service("api", { vip: "10.64.0.2", endpoints: [endpoint("10.64.1.2"), endpoint("10.64.2.2")] }),
    service("idle", { vip: "10.64.0.3" }),
    service("sticky", {
      vip: "10.64.0.4",
      endpoints: [endpoint("10.64.1.2"), endpoint("10.64.2.2")],
      isBySource: true,
    }),
    service("dnsrr", { endpoints: [endpoint("10.64.1.9")] }),
    service("elsewhere", { networkId: "n2", vip: "10.65.0.2", endpoints: [endpoint("10.65.1.2")] }),
  ],
  askers: [],
};

describe("virtual IPs", () => {
  it("are those of services in networks of this host", () => {
    expect(vipsOf(TABLE)).toEqual([
      {
        address: "10.64.0.2",
        bridge: "bth4097",
        tasks: ["10.64.1.2", "10.64.2.2"],
        kept: [],
        isBySource: false,
      },
      { address: "10.64.0.3", bridge: "bth4097", tasks: [], kept: [], isBySource: false },
      {
        address: "10.64.0.4",
        bridge: "bth4097",
        tasks: ["10.64.1.2", "10.64.2.2"],
        kept: [],
        isBySource: true,
      },
    ]);
  });

  it("go to their tasks in turn, and to nobody without tasks", () => {
    const script = vipScript(vipsOf(TABLE));
    expect(script).toContain("dnat to numgen inc mod 2 map { 0 : 10.64.1.2, 1 : 10.64.2.2 }");
    expect(script).toContain("elements = { 10.64.0.2 : jump vip0, 10.64.0.4 : jump vip1 }");
    expect(script).toContain("elements = { 10.64.0.2, 10.64.0.3, 10.64.0.4 }");
    expect(script).toContain("elements = { 10.64.1.2 . 10.64.1.2, 10.64.2.2 . 10.64.2.2 }");
  });

  it("go to the task of the client's group, which is the same on every host, where they are to", () => {
    const chain = /chain vip1 \{([^}]*\}[^}]*)\}/.exec(vipScript(vipsOf(TABLE)))?.[1] ?? "";
    expect(chain).toContain("dnat to jhash ip saddr mod 256 seed 0xbe47 map { 0 : ");
    const tasks = (["10.64.1.2", "10.64.2.2"] as const).map((id) => ({ id }));
    for (const bucket of [0, 77, 255]) {
      expect(chain).toMatch(new RegExp(`[ {]${bucket} : ${rendezvous(bucket, tasks)?.id}[, ]`));
    }
  });

  it.skipIf(process.getuid?.() !== 0)("are taken by the kernel, again and again, and away", () => {
    const scripts = [vipScript(vipsOf(TABLE)), vipScript(vipsOf(TABLE)), vipScript([]), REMOVE_VIPS];
    const checks = scripts.map((script) => `nft -f - <<'EOF'\n${script}\nEOF\n`).join("");
    const checked = spawnSync("unshare", ["--net", "sh", "-ec", `${checks}nft list ruleset`]);
    expect([checked.status, String(checked.stderr), String(checked.stdout)]).toEqual([0, "", ""]);
  });
});

describe("addressChanges", () => {
  it("gives bridges what they lack and takes what nobody wants, and nothing else", () => {
    const present = presentVips([
      { ifname: "eth0", addr_info: [{ local: "192.0.2.1", prefixlen: 32 }] },
      {
        ifname: "bth4097",
        addr_info: [
          { local: "10.64.1.1", prefixlen: 18 },
          { local: "10.64.0.2", prefixlen: 32 },
          { local: "10.64.0.9", prefixlen: 32 },
        ],
      },
    ]);
    expect(addressChanges(present, vipsOf(TABLE))).toEqual([
      "address delete 10.64.0.9/32 dev bth4097",
      "address add 10.64.0.3/32 dev bth4097",
      "address add 10.64.0.4/32 dev bth4097",
    ]);
    const all = ["10.64.0.2 bth4097", "10.64.0.3 bth4097", "10.64.0.4 bth4097"];
    expect(addressChanges(new Set(all), vipsOf(TABLE))).toEqual([]);
  });
});
