import { bridgeName, FLOOD_MAC, tunnelName, VXLAN_PORT } from "./devices.js";
import type { LinkStep } from "./network-step.js";
import { INNER_PREFIX_BITS, isInnerAddress, WIREGUARD_DEVICE, wireguardConfig } from "./wireguard.js";

/** A program and its arguments. */
export interface LinkCommand {
  readonly program: "ip" | "bridge" | "sysctl" | "sh";
  readonly args: readonly string[];
  /** Standard input, for secrets and long batches. */
  readonly input: string;
}

/** wg opens /proc/self/fd/0 by name, which fails for the sockets that Node.js uses as standard input. `cat` makes it a pipe. */
const SYNC = 'cat | wg syncconf "$0" /proc/self/fd/0';

/** Returns the commands of a step, in the order in which to run them. */
export function linkCommands(step: LinkStep, wireguardPrivateKey: string): readonly LinkCommand[] {
  if (step.kind === "list-containers") return listCommands(step);
  if (step.kind !== "set-wireguard") {
    return argsOf(step).map(([program, ...args]) => ({ program, args, input: "" }));
  }
  const input = wireguardConfig(wireguardPrivateKey, step.peers);
  return [{ program: "sh", args: ["-c", SYNC, WIREGUARD_DEVICE], input }];
}

/** One batch for each program: a host that joins may have thousands of containers. `-force` skips entries that are gone. */
function listCommands({ vni, put, gone }: Step<"list-containers">): readonly LinkCommand[] {
  const [tunnel, bridge] = [tunnelName(vni), bridgeName(vni)];
  const table = [
    ...gone.vxlanFdb.map((mac) => `fdb delete ${mac} dev ${tunnel} self`),
    ...gone.bridgeFdb.map((mac) => `fdb delete ${mac} dev ${tunnel} master`),
    ...put.map(
      ({ mac, host }) => `fdb replace ${mac} dev ${tunnel} ${destination(host).join(" ")} self master static`,
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
  args: ["-force", "-batch", "-"],
  input: lines.map((line) => `${line}\n`).join(""),
});

type CommandLines = readonly (readonly [program: Exclude<LinkCommand["program"], "sh">, ...args: string[]])[];

type Step<Kind extends LinkStep["kind"]> = Extract<LinkStep, { kind: Kind }>;

function argsOf(step: Exclude<LinkStep, Step<"set-wireguard" | "list-containers">>): CommandLines {
  switch (step.kind) {
    case "add-tunnel": {
      const { device, vni, local, boundDevice, mtu, bridge } = step;
      const bound = boundDevice === "" ? [] : ["dev", boundDevice];
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
        // Many hosts disable IPv6 for all devices, but the WireGuard device has only an IPv6 address.
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
    case "set-static-fdb": {
      const { device, isStatic } = step;
      return [
        ["ip", "link", "set", device, "type", "vxlan", isStatic ? "nolearning" : "learning"],
        ["bridge", "link", "set", "dev", device, "neigh_suppress", isStatic ? "on" : "off"],
      ];
    }
    case "add-peer":
      return [["bridge", "fdb", "append", ...floodEntry(step)]];
    case "remove-peer":
      return [["bridge", "fdb", "delete", ...floodEntry(step)]];
  }
}

function floodEntry({ device, peer }: Step<"add-peer" | "remove-peer">): readonly string[] {
  return [FLOOD_MAC, "dev", device, ...destination(peer)];
}

/** IPv6 link-local addresses inside WireGuard need their device. */
function destination(host: string): readonly string[] {
  return ["dst", host, ...(isInnerAddress(host) ? ["via", WIREGUARD_DEVICE] : [])];
}
