import { bridgeName, EVERYBODY, tunnelName, VXLAN_PORT } from "./devices.js";
import type { LinkStep } from "./network-step.js";
import { INNER_PREFIX_BITS, isInnerAddress, WIREGUARD_DEVICE, wireguardConfig } from "./wireguard.js";

/** A program and its words. */
export interface LinkCommand {
  readonly program: "ip" | "bridge" | "sysctl" | "sh";
  readonly words: readonly string[];
  /** For its standard input: what must not be seen among the words. */
  readonly input: string;
}

/** wg opens what it reads by its name: its standard input must be a pipe for that, and Node.js gives programs sockets. */
const SYNC = 'cat | wg syncconf "$0" /proc/self/fd/0';

/** The commands that do a step, in this order. */
export function linkCommands(step: LinkStep, wireguardPrivateKey: string): readonly LinkCommand[] {
  if (step.kind === "list-containers") return listCommands(step);
  if (step.kind !== "set-wireguard") {
    return wordsOf(step).map(([program, ...words]) => ({ program, words, input: "" }));
  }
  const input = wireguardConfig(wireguardPrivateKey, step.peers);
  return [{ program: "sh", words: ["-c", SYNC, WIREGUARD_DEVICE], input }];
}

/** Thousands at a time when a host joins: one call of each program. `-force`: what is gone already stops nothing. */
function listCommands({ vni, put, gone }: Step<"list-containers">): readonly LinkCommand[] {
  const [tunnel, bridge] = [tunnelName(vni), bridgeName(vni)];
  const table = [
    ...gone.placed.map((mac) => `fdb delete ${mac} dev ${tunnel} self`),
    ...gone.behind.map((mac) => `fdb delete ${mac} dev ${tunnel} master`),
    ...put.map(
      ({ mac, host }) => `fdb replace ${mac} dev ${tunnel} ${towards(host).join(" ")} self master static`,
    ),
  ];
  const neighbours = [
    ...gone.neighbours.map((address) => `neigh delete ${address} dev ${bridge}`),
    ...put.map(({ address, mac }) => `neigh replace ${address} lladdr ${mac} dev ${bridge} nud permanent`),
  ];
  return [batch("bridge", table), batch("ip", neighbours)].filter(({ input }) => input !== "");
}

const batch = (program: "ip" | "bridge", lines: readonly string[]): LinkCommand => ({
  program,
  words: ["-force", "-batch", "-"],
  input: lines.map((line) => `${line}\n`).join(""),
});

type Words = readonly (readonly [program: Exclude<LinkCommand["program"], "sh">, ...words: string[]])[];

type Step<Kind extends LinkStep["kind"]> = Extract<LinkStep, { kind: Kind }>;

function wordsOf(step: Exclude<LinkStep, Step<"set-wireguard" | "list-containers">>): Words {
  switch (step.kind) {
    case "add-tunnel": {
      const { device, vni, local, through, mtu, bridge } = step;
      const bound = through === "" ? [] : ["dev", through];
      const vxlan = ["id", String(vni), "local", local, ...bound, "dstport", String(VXLAN_PORT)];
      return [
        ["ip", "link", "add", device, "mtu", String(mtu), "type", "vxlan", ...vxlan],
        ["ip", "link", "set", device, "master", bridge, "up"],
      ];
    }
    case "set-tunnel": {
      const { device, bridge, mtu } = step;
      return [["ip", "link", "set", device, "mtu", String(mtu), "master", bridge, "up"]];
    }
    case "add-wireguard":
      return [["ip", "link", "add", WIREGUARD_DEVICE, "type", "wireguard"]];
    case "raise-wireguard": {
      const inner = `${step.inner}/${INNER_PREFIX_BITS}`;
      return [
        // Many hosts have IPv6 switched off for all devices; this one has nothing else.
        ["sysctl", "-q", "-w", `net.ipv6.conf.${WIREGUARD_DEVICE}.disable_ipv6=0`],
        ["ip", "address", "replace", inner, "dev", WIREGUARD_DEVICE, "nodad"],
        ["ip", "link", "set", WIREGUARD_DEVICE, "mtu", String(step.mtu), "up"],
      ];
    }
    case "filter-bridge":
      return [["ip", "link", "set", step.bridge, "type", "bridge", "nf_call_iptables", "1"]];
    case "set-hairpin":
      return [["bridge", "link", "set", "dev", step.device, "hairpin", "on"]];
    case "delete-link":
      return [["ip", "link", "delete", step.device]];
    case "set-listed": {
      const { device, isListed } = step;
      return [
        ["ip", "link", "set", device, "type", "vxlan", isListed ? "nolearning" : "learning"],
        ["bridge", "link", "set", "dev", device, "neigh_suppress", isListed ? "on" : "off"],
      ];
    }
    case "add-peer":
      return [["bridge", "fdb", "append", ...floodEntry(step)]];
    case "remove-peer":
      return [["bridge", "fdb", "delete", ...floodEntry(step)]];
  }
}

function floodEntry({ device, peer }: Step<"add-peer" | "remove-peer">): readonly string[] {
  return [EVERYBODY, "dev", device, ...towards(peer)];
}

/** An address inside WireGuard is one of that device alone. */
function towards(host: string): readonly string[] {
  return ["dst", host, ...(isInnerAddress(host) ? ["via", WIREGUARD_DEVICE] : [])];
}
