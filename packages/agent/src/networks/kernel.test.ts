import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { DnsEntry } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { joinCommands, linkCommands } from "../core/networks/link-commands.js";
import { parseLinks } from "../core/networks/observed-state.js";
import { planNetwork } from "../core/networks/plan-network.js";
import { dockerNetworkOf, HOST, networkWith } from "../core/networks/testing.js";
import { VXLAN_TABLE, vxlanRuleset } from "../core/networks/vxlan-filter.js";
import { detectKernelSupport } from "./host-networking.js";

const isRoot = process.getuid?.() === 0;
const { signal } = new AbortController();
const DNS_ENTRIES = [
  DnsEntry.fromPartial({ networkId: "net1", endpoints: [{ nodeId: "node2", address: "10.64.2.2" }] }),
];
const KEY = `${"2".repeat(43)}=`;
const PEER = { nodeId: "node2", address: "10.0.0.2", wireguardPublicKey: KEY };

/** The devices that a network needs. A veth device replaces WireGuard's, which not every kernel supports. */
const DEVICES = `
  ip link add up0 type veth peer name up1
  ip address add 10.0.0.1/24 dev up0
  ip link set up0 up
  ip link set up1 up
  ip link add berthwg type veth peer name wg1
  ip address add fe80::a00:1/64 dev berthwg nodad
  ip link set berthwg mtu 1440 up
  ip link add bth4097 type bridge
  ip link set bth4097 up`;

describe.skipIf(!isRoot)("the kernel", () => {
  it.each([
    { encrypted: false, staticFdb: false },
    { encrypted: true, staticFdb: false },
    { encrypted: false, staticFdb: true },
    { encrypted: true, staticFdb: true },
  ])("accepts the steps of a network and then lists its desired state: %o", ({ encrypted, staticFdb }) => {
    const network = networkWith({ peers: [PEER], staticFdb, spec: { encrypted } });
    const dockerNetwork = dockerNetworkOf(network, { mtu: encrypted ? 1_370 : 1_450 });
    const before = observe("");
    const { steps } = planNetwork(network, { ...before, networks: [dockerNetwork] }, HOST, DNS_ENTRIES);
    const linkChanges = steps.flatMap((step) => {
      if (step.kind === "create-network" || step.kind === "remove-network" || step.kind === "set-hairpins") {
        throw new Error(step.kind);
      }
      return linkCommands(step, "");
    });
    const commands = joinCommands(linkChanges).map(({ program, args, input }) => {
      return `${[program, ...args].join(" ")} <<'END'\n${input}END`;
    });
    const after = observe(commands.join("\n"));
    const converged = planNetwork(network, { ...after, networks: [dockerNetwork] }, HOST, DNS_ENTRIES);
    expect(converged).toMatchObject({ state: { kind: "ready" }, steps: [] });
  });

  it("accepts the VXLAN filter of networks with IPv4 and IPv6 peers and with none, also when one is loaded", () => {
    const rulesets = [
      new Map([
        [4097, ["10.0.0.2", "fd00::2"]],
        [4098, ["10.0.0.2"]],
      ]),
      new Map([[4097, []]]),
      new Map(),
    ].map(vxlanRuleset);
    const tables = rulesets.map((ruleset) => {
      const [command] = linkCommands({ kind: "set-vxlan-filter", ruleset }, "");
      return `nft --file - <<'END'\n${command?.input}END\nnft list tables`;
    });
    const script = tables.join("\necho '|'\n");
    const { stdout, stderr } = spawnSync("unshare", ["--net", "sh", "-ec", script]);
    expect(String(stderr)).toBe("");
    const loaded = String(stdout).split("|");
    expect(loaded.map((listed) => listed.trim())).toEqual([
      `table ${VXLAN_TABLE}`,
      `table ${VXLAN_TABLE}`,
      "",
    ]);
  });

  it("detectKernelSupport leaves no device behind", async () => {
    const { overlayProblem, encryptionProblem } = await detectKernelSupport(signal);
    expect(overlayProblem).toBe("");
    const hasWireguard =
      spawnSync("unshare", ["--net", "ip", "link", "add", "wg", "type", "wireguard"]).status === 0;
    if (!hasWireguard) expect(encryptionProblem).toBe("the kernel has no wireguard");
    expect(existsSync("/sys/class/net/bt")).toBe(false);
  });
});

/** Returns the devices of a new network namespace after running commands in it. */
function observe(script: string): ReturnType<typeof parseLinks> {
  const show = [
    "ip -json -details address show",
    "ip -json -4 route show table all",
    "bridge -json fdb show",
    "ip -json neigh show nud permanent",
  ];
  const { stdout, stderr } = spawnSync("unshare", [
    "--net",
    "sh",
    "-ec",
    `${DEVICES}\n${script}\n${show.join("\necho '|'\n")}`,
  ]);
  expect(String(stderr)).toBe("");
  const [addresses, routes, fdb, neighbors] = String(stdout)
    .split("|")
    .map((listing) => JSON.parse(listing.trim() || "[]"));
  return parseLinks({ addresses, routes, fdb, neighbors, vxlanFilter: "", wireguard: "" }, HOST.address);
}
