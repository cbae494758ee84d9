import { assertNever, canonicalIp } from "@berth/proto";
import { bridgeName, FLOOD_MAC, tunnelName, VXLAN_PORT } from "./devices.js";
import type { HairpinStep, LinkStep } from "./network-step.js";
import { VXLAN_TABLE } from "./vxlan-filter.js";
import { INNER_PREFIX_BITS, isInnerAddress, WIREGUARD_DEVICE, wireguardConfig } from "./wireguard.js";

/** A program and its arguments. */
export interface LinkCommand {
  readonly program: "ip" | "bridge" | "nft" | "sysctl" | "sh" | "wg";
  readonly args: readonly string[];
  /** Standard input: secrets and long batches. */
  readonly input: string;
}

/**
 * Script that configures the WireGuard device $0 from standard input. `wg` opens /proc/self/fd/0 by name, which fails
 * for the socket that Node.js uses as standard input, so `cat` passes the configuration through a pipe.
 */
const SYNC_WIREGUARD = 'cat | wg syncconf "$0" /proc/self/fd/0';

const MAC_ADDRESS = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;

type Program = LinkCommand["program"];
type Step<Kind extends LinkStep["kind"]> = Extract<LinkStep, { kind: Kind }>;

/**
 * Returns the commands of a step, in the order in which to run them.
 *
 * @throws Error if an argument of the step is not an address: it would become part of a command that runs as root
 */
export function linkCommands(
  step: Exclude<LinkStep, HairpinStep>,
  wireguardPrivateKey: string,
): readonly LinkCommand[] {
  switch (step.kind) {
    case "add-tunnel":
      return addTunnel(step);
    case "set-tunnel": {
      const { device, bridge, mtu } = step;
      return [command("ip", "link", "set", device, "mtu", String(mtu), "master", bridge, "up")];
    }
    case "add-wireguard":
      return [command("ip", "link", "add", WIREGUARD_DEVICE, "type", "wireguard")];
    case "bring-up-wireguard":
      return bringUpWireguard(step);
    case "set-wireguard-peers": {
      const input = wireguardConfig(wireguardPrivateKey, step.peers);
      return [{ program: "sh", args: ["-c", SYNC_WIREGUARD, WIREGUARD_DEVICE], input }];
    }
    case "set-vxlan-filter": {
      // One transaction. The first line makes the deletion succeed when the table does not exist.
      const input = `table ${VXLAN_TABLE}\ndelete table ${VXLAN_TABLE}\n${step.ruleset}`;
      return [{ program: "nft", args: ["--file", "-"], input }];
    }
    case "filter-bridge":
      return [command("ip", "link", "set", step.bridge, "type", "bridge", "nf_call_iptables", "1")];
    case "delete-link":
      return [command("ip", "link", "delete", step.device)];
    case "set-static-fdb": {
      const { device, isStatic } = step;
      return [
        command("ip", "link", "set", device, "type", "vxlan", isStatic ? "nolearning" : "learning"),
        command("bridge", "link", "set", "dev", device, "neigh_suppress", isStatic ? "on" : "off"),
      ];
    }
    case "update-static-entries":
      return updateStaticEntries(step);
    case "add-peer":
      return [command("bridge", "fdb", "append", ...floodEntry(step))];
    case "remove-peer":
      return [command("bridge", "fdb", "delete", ...floodEntry(step))];
    default:
      return assertNever(step);
  }
}

const command = (program: Program, ...args: string[]): LinkCommand => ({ program, args, input: "" });

function addTunnel({
  device,
  vni,
  local,
  boundDevice,
  mtu,
  bridge,
}: Step<"add-tunnel">): readonly LinkCommand[] {
  const bound = boundDevice === "" ? [] : ["dev", boundDevice];
  const vxlan = ["id", String(vni), "local", local, ...bound, "dstport", String(VXLAN_PORT)];
  return [
    command("ip", "link", "add", device, "mtu", String(mtu), "type", "vxlan", ...vxlan),
    command("ip", "link", "set", device, "master", bridge, "up"),
  ];
}

function bringUpWireguard({ inner, mtu }: Step<"bring-up-wireguard">): readonly LinkCommand[] {
  const address = `${inner}/${INNER_PREFIX_BITS}`;
  return [
    // Many hosts disable IPv6 for all devices, but the WireGuard device has only an IPv6 address.
    command("sysctl", "-q", "-w", `net.ipv6.conf.${WIREGUARD_DEVICE}.disable_ipv6=0`),
    command("ip", "address", "replace", address, "dev", WIREGUARD_DEVICE, "nodad"),
    command("ip", "link", "set", WIREGUARD_DEVICE, "mtu", String(mtu), "up"),
  ];
}

/**
 * Returns the commands that update the static entries. Each program runs once, since a joining host may have thousands
 * of entries. `-force` skips entries that no longer exist.
 */
function updateStaticEntries({ vni, upserts, stale }: Step<"update-static-entries">): readonly LinkCommand[] {
  const [tunnel, bridge] = [tunnelName(vni), bridgeName(vni)];
  for (const { address, macAddress } of upserts) {
    checkAddress(address);
    checkMacAddress(macAddress);
  }
  const fdbLines = [
    ...stale.vxlanFdb.map((mac) => `fdb delete ${mac} dev ${tunnel} self`),
    ...stale.bridgeFdb.map((mac) => `fdb delete ${mac} dev ${tunnel} master`),
    ...upserts.map(
      ({ macAddress, tunnelAddress }) =>
        `fdb replace ${macAddress} dev ${tunnel} ${destination(tunnelAddress).join(" ")} self master static`,
    ),
  ];
  const neighborLines = [
    ...stale.neighbors.map((address) => `neigh delete ${address} dev ${bridge}`),
    ...upserts.map(
      ({ address, macAddress }) =>
        `neigh replace ${address} lladdr ${macAddress} dev ${bridge} nud permanent`,
    ),
  ];
  return [batch("bridge", fdbLines, ["-force"]), batch("ip", neighborLines, ["-force"])].filter(
    ({ input }) => input !== "",
  );
}

const batch = (program: Program, lines: readonly string[], options: readonly string[] = []): LinkCommand => ({
  program,
  args: [...options, "-batch", "-"],
  input: lines.map((line) => `${line}\n`).join(""),
});

/** The programs that read commands from standard input with `-batch`. */
const BATCH_PROGRAMS: readonly Program[] = ["ip", "bridge"];

/**
 * Joins successive commands of the same program into a batch, which ends at the first command that fails. Starting a
 * program takes longer than its work.
 */
export function joinCommands(commands: readonly LinkCommand[]): readonly LinkCommand[] {
  const groups: LinkCommand[][] = [];
  for (const command of commands) {
    const previous = groups.at(-1)?.[0];
    const canJoin = (other: LinkCommand): boolean =>
      other.input === "" && BATCH_PROGRAMS.includes(other.program) && other.program === command.program;
    if (previous !== undefined && canJoin(previous) && canJoin(command)) {
      groups.at(-1)?.push(command);
    } else {
      groups.push([command]);
    }
  }
  return groups.flatMap((group) => {
    const [first] = group;
    if (first === undefined || group.length === 1) return group;
    const lines = group.map(({ args }) => args.join(" "));
    return [batch(first.program, lines)];
  });
}

/**
 * Returns the command of a batch that failed, and the reason. Returns undefined if the output does not show it.
 *
 * @param stderr the error output of `ip -batch` or `bridge -batch`, which ends with "Command failed -:LINE"
 */
export function batchFailure({ program, input }: LinkCommand, stderr: string): string | undefined {
  const [, reason, lineNumber] = /^(.*)\nCommand failed -:(\d+)$/m.exec(stderr) ?? [];
  const line = input.split("\n")[Number(lineNumber) - 1];
  return reason === undefined || line === undefined ? undefined : `${program} ${line}: ${reason}`;
}

/** Returns the lines for `ip -batch` that execute a step. */
export function hairpinLines({ devices }: HairpinStep): readonly string[] {
  return devices.map((device) => `link set dev ${device} type bridge_slave hairpin on`);
}

function checkAddress(text: string): void {
  if (canonicalIp(text) === undefined) throw new Error(`${JSON.stringify(text)} is not an IP address`);
}

function checkMacAddress(text: string): void {
  if (!MAC_ADDRESS.test(text)) throw new Error(`${JSON.stringify(text)} is not a MAC address`);
}

function floodEntry({ device, peer }: Step<"add-peer" | "remove-peer">): readonly string[] {
  return [FLOOD_MAC, "dev", device, ...destination(peer)];
}

/** Returns the destination arguments. Addresses inside WireGuard are link-local, so they need their device. */
function destination(host: string): readonly string[] {
  checkAddress(host);
  return ["dst", host, ...(isInnerAddress(host) ? ["via", WIREGUARD_DEVICE] : [])];
}
