import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { rendezvous } from "../balancing/rendezvous.js";
import type { DnsTable } from "../dns/dns-table.js";
import { memberKey } from "../kernel/service-chain.js";
import { buildVips, type Vips } from "./vip.js";
import { formatAddressChanges, parseAssignedVips, vipsFromInterfaces } from "./vip-addresses.js";
import { DELETE_VIP_TABLES, VipRuleset } from "./vip-ruleset.js";

const NETWORK = {
  id: "n1",
  name: "shop_default",
  stack: "shop",
  subnet: "10.64.0.0/18",
  gateway: "10.64.1.1",
  bridge: "bth4097",
};
const service = (name: string, fields: Partial<DnsTable["services"][number]>) => ({
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
const TABLE: DnsTable = {
  networks: [NETWORK],
  services: [
    service("api", { vip: "10.64.0.2", endpoints: [endpoint("10.64.1.2"), endpoint("10.64.2.2")] }),
    service("idle", { vip: "10.64.0.3" }),
    service("sticky", {
      vip: "10.64.0.4",
      endpoints: [endpoint("10.64.1.2"), endpoint("10.64.2.2")],
      hasSourceAffinity: true,
    }),
    service("dnsrr", { endpoints: [endpoint("10.64.1.9")] }),
    service("elsewhere", { networkId: "n2", vip: "10.65.0.2", endpoints: [endpoint("10.65.1.2")] }),
  ],
  clients: [],
};

const VIPS = buildVips(TABLE);

/** Runs nft scripts in a temporary network namespace. Returns the resulting ruleset. */
function inKernel(...scripts: readonly string[]): string {
  const runs = scripts.map((script) => `nft -f - <<'EOF'\n${script}\nEOF\n`).join("");
  const shell = ["--net", "sh", "-ec", `${runs}nft list ruleset`];
  const { status, stderr, stdout } = spawnSync("unshare", shell, { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  return stdout;
}

/** Parses the tasks of each virtual IP and the elements of the sets. The result does not depend on numbers and order. */
function parseRuleset(ruleset: string): unknown {
  const members = new Map<string, string>();
  for (const [, map, elements = ""] of ruleset.matchAll(/map (members\d+) \{[^}]*elements = \{([^}]*)\}/g)) {
    for (const [, number, address] of elements.matchAll(/(\d+) : ([\d.]+)/g))
      members.set(`${map} ${number}`, address ?? "");
  }
  const tasksByVip: Record<string, unknown> = {};
  let picked = 0;
  for (const [, vip = "", rules = ""] of ruleset.matchAll(/chain vip-([\d.]+) \{\s([^}]*)\}/g)) {
    const picks = rules.split("\n").flatMap((rule) => {
      const [, mod, offset, map] = /mod (\d+) offset (\d+) map @(\w+)/.exec(rule) ?? [];
      if (map === undefined) return [];
      const numbers = Array.from({ length: Number(mod) }, (_, index) => Number(offset) + index);
      return [numbers.map((number) => members.get(`${map} ${memberKey(number)}`) ?? "missing").sort()];
    });
    picked += picks[0]?.length ?? 0;
    tasksByVip[vip] = picks;
  }
  const sets = [...ruleset.matchAll(/set (vips|selves) \{[^}]*?elements = \{([^}]*)\}/g)];
  return {
    tasksByVip,
    unusedMembers: members.size - picked,
    jumps: [...ruleset.matchAll(/([\d.]+)(?: counter packets 0 bytes 0)? : jump vip-([\d.]+)/g)]
      .map(([, ...addresses]) => addresses.join())
      .sort(),
    sets: sets.map(([, , elements = ""]) =>
      elements
        .split(",")
        .map((element) => element.trim())
        .sort(),
    ),
  };
}

/** Virtual IPs in 10.99.0.0/16 have source affinity. */
const withTasks = (services: Readonly<Record<string, readonly string[]>>): Vips =>
  new Map(
    Object.entries(services).map(([address, tasks]) => {
      return [
        address,
        {
          address,
          bridge: "b",
          tasks,
          draining: [],
          hasSourceAffinity: address.startsWith("10.99."),
          hold: undefined,
        },
      ];
    }),
  );

describe("VipRuleset", () => {
  it("buildVips() returns the virtual IPs of services in networks of this host", () => {
    expect([...VIPS.values()]).toEqual([
      {
        address: "10.64.0.2",
        bridge: "bth4097",
        tasks: ["10.64.1.2", "10.64.2.2"],
        draining: [],
        hasSourceAffinity: false,
        hold: undefined,
      },
      {
        address: "10.64.0.3",
        bridge: "bth4097",
        tasks: [],
        draining: [],
        hasSourceAffinity: false,
        hold: undefined,
      },
      {
        address: "10.64.0.4",
        bridge: "bth4097",
        tasks: ["10.64.1.2", "10.64.2.2"],
        draining: [],
        hasSourceAffinity: true,
        hold: undefined,
      },
    ]);
  });

  it("sends connections without a task to the port that holds them, and only those of services that hold", () => {
    const tables: DnsTable = {
      ...TABLE,
      services: TABLE.services.map((each) => (each.vip === "10.64.0.2" ? each : { ...each, holdMs: 500 })),
    };
    const script = new VipRuleset().load(buildVips(tables, 4_000));
    const rulesOf = (vip: string): string[] =>
      script.split("\n").filter((line) => line.startsWith(`add rule ip berth-vips vip-${vip} `));
    expect(rulesOf("10.64.0.2").filter((rule) => rule.includes(":4000"))).toEqual([]);
    expect(rulesOf("10.64.0.3")).toEqual([
      expect.stringContaining("@refused ct mark set ct mark or 0x1000000 dnat to 10.64.0.3:4000"),
      expect.stringContaining("meta l4proto tcp ct mark set ct mark or 0x1000000 dnat to 10.64.0.3:4000"),
    ]);
    expect(rulesOf("10.64.0.4").at(-1)).toContain("dnat to 10.64.0.4:4000");
    expect(inKernel(script)).toContain("elements = { 4000 }");
  });

  it("maps clients of a service with source affinity to the same task on every host", () => {
    const script = new VipRuleset().load(VIPS);
    const [rule = ""] = script.match(/add rule ip berth-vips vip-10\.64\.0\.4 .*/) ?? [];
    const [, base, map = ""] =
      /dnat to jhash ip saddr mod 256 seed 0xbe47 offset (\d+) map @(\w+)/.exec(rule) ?? [];
    const elements = new RegExp(`add element ip berth-vips ${map} \\{(.*)\\}`).exec(script)?.[1] ?? "";
    const tasks = (["10.64.1.2", "10.64.2.2"] as const).map((id) => ({ id }));
    for (const bucket of [0, 77, 255]) {
      expect(elements).toContain(` ${memberKey(Number(base) + bucket)} : ${rendezvous(bucket, tasks)?.id}`);
    }
  });

  it("removes the tasks of a lost host before it changes services that differ", () => {
    const many = Array.from(
      { length: 500 },
      (_, index) => `10.64.${Math.floor(index / 250)}.${1 + (index % 250)}`,
    );
    const all = Object.fromEntries(
      many.map((vip, index) => [vip, [`10.65.0.${1 + (index % 250)}`, "10.66.0.1"]]),
    );
    const table = new VipRuleset();
    table.load(withTasks(all));
    expect(table.nextChange(withTasks(structuredClone(all)))).toEqual({ script: "", isComplete: true });
    const { script, isComplete } = table.nextChange(withTasks({ ...all, "10.64.0.1": ["10.65.0.1"] }));
    expect([script.split("\n").length < 20, isComplete]).toEqual([true, true]);
    // When a host is lost, the first script removes all of its tasks and changes nothing else.
    const without = Object.fromEntries(Object.entries(all).map(([vip, [task = ""]]) => [vip, [task]]));
    const urgent = table.nextChange(withTasks(without));
    expect(urgent.isComplete).toBe(false);
    expect(urgent.script).toMatch(/^(delete element ip berth-vips members\d+ \{[^}]*\}\n)+$/);
    expect(urgent.script.match(/\d+(?=,| \})/g)).toHaveLength(499);
  });

  it.skipIf(process.getuid?.() !== 0)(
    "is accepted by the kernel when loaded repeatedly, emptied and deleted",
    () => {
      const table = new VipRuleset();
      expect(inKernel(table.load(VIPS), table.load(VIPS), table.load(new Map()), DELETE_VIP_TABLES)).toBe("");
    },
  );

  it.skipIf(process.getuid?.() !== 0)("produces the same ruleset by changes as by a full load", () => {
    const steps: readonly Vips[] = [
      { "10.64.0.2": ["10.64.1.2", "10.64.2.2"], "10.99.0.3": ["10.64.1.3"], "10.64.0.4": [] },
      { "10.64.0.2": ["10.64.2.2"], "10.99.0.3": ["10.64.1.3", "10.64.1.2"], "10.64.0.5": ["10.64.3.2"] },
      { "10.64.0.2": ["10.64.2.2", "10.64.4.2", "10.64.1.2"], "10.99.0.3": [], "10.64.0.4": ["10.64.2.2"] },
      { "10.99.0.3": ["10.64.1.3"], "10.64.0.4": ["10.64.4.2"], "10.64.0.6": [] },
    ].map(withTasks);
    const table = new VipRuleset(1);
    const scripts = [table.load(steps[0] ?? new Map())];
    for (const step of steps.slice(1)) {
      for (let isComplete = false; !isComplete; ) {
        const change = table.nextChange(step);
        scripts.push(change.script);
        isComplete = change.isComplete;
      }
      const changed = parseRuleset(inKernel(...scripts));
      expect(changed).toEqual(parseRuleset(inKernel(new VipRuleset().load(step))));
      expect(changed).toMatchObject({ unusedMembers: 0, tasksByVip: { "10.99.0.3": expect.anything() } });
    }
  });
});

describe("formatAddressChanges()", () => {
  it("adds missing addresses and deletes undesired ones without touching others", () => {
    const present = parseAssignedVips([
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
    expect(formatAddressChanges(present, VIPS)).toEqual([
      "address delete 10.64.0.9/32 dev bth4097",
      "address add 10.64.0.3/32 dev bth4097",
      "address add 10.64.0.4/32 dev bth4097",
    ]);
    const all = new Map([["bth4097", new Set(["10.64.0.2", "10.64.0.3", "10.64.0.4"])]]);
    expect(formatAddressChanges(all, VIPS)).toEqual([]);
  });
});

describe("vipsFromInterfaces()", () => {
  it("returns the addresses of bridges with a prefix length of 32", () => {
    const info = (cidr: string) => ({ address: cidr.split("/")[0], cidr });
    const interfaces = {
      eth0: [info("192.0.2.1/32")],
      bth4097: [info("10.64.1.1/18"), info("10.64.0.2/32"), info("10.64.0.3/32")],
    } as unknown as Parameters<typeof vipsFromInterfaces>[0];
    expect(vipsFromInterfaces(interfaces)).toEqual(
      new Map([["bth4097", new Set(["10.64.0.2", "10.64.0.3"])]]),
    );
  });
});
