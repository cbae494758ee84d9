import { assertNever } from "@berth/proto";
import type { Logger } from "pino";
import { VXLAN_PORT } from "../core/networks/devices.js";
import {
  batchFailure,
  hairpinLines,
  joinCommands,
  type LinkCommand,
  linkCommands,
} from "../core/networks/link-commands.js";
import type { LinkStep } from "../core/networks/network-step.js";
import {
  type BridgePort,
  type ObservedLinks,
  parseBridgePorts,
  parseLinks,
} from "../core/networks/observed-state.js";
import { VXLAN_TABLE } from "../core/networks/vxlan-filter.js";
import { WIREGUARD_DEVICE } from "../core/networks/wireguard.js";
import { failureOf, type ProgramResult, type RunProgram, runProgram } from "../runtime/run-program.js";
import { IpBatch } from "./ip-batch.js";

/** The agent's access to the host's network configuration. Part of the platform: the simulation replaces it. */
export interface HostNetworking {
  readonly wireguardPublicKey: string;
  readonly devices: NetworkDevices;
  readonly watchVxlanFilter?: WatchVxlanFilter;
  detectKernelSupport(signal: AbortSignal): Promise<KernelSupport>;
}

/** Calls `onRemoved` when the rules that filter VXLAN packets are removed, such as by `nft flush ruleset`. */
export type WatchVxlanFilter = (onRemoved: () => void, log: Logger) => { close(): void };

/** Reads and changes the network devices of a host. */
export interface NetworkDevices {
  /** @throws Error if the devices cannot be read, as when iproute2 is missing or too old */
  observe(nodeAddress: string, signal: AbortSignal): Promise<ObservedLinks>;
  /**
   * Lists the bridge ports only, which is cheap enough to do for each container that starts.
   *
   * @throws Error if `ip` cannot list them
   */
  observePorts(signal: AbortSignal): Promise<readonly BridgePort[]>;
  /**
   * Executes steps until one fails. Sets hairpin modes first, without waiting, and ignores their errors: the next
   * observation shows which ports lack the mode.
   *
   * @throws Error with the command that failed and its error message
   */
  execute(steps: readonly LinkStep[], signal: AbortSignal): Promise<void>;
}

const LIST_ADDRESSES = "address show";
const LIST_ROUTES = "route show table all";
const LIST_NEIGHBORS = "neigh show nud permanent";
const LIST_PORTS = "link show type bridge_slave";

export interface LinuxNetworkDevicesOptions {
  /** This host's private key. Empty if it has none. */
  readonly wireguardPrivateKey: string;
  readonly run?: RunProgram;
  readonly ipBatch?: IpBatch;
}

/** Returns the devices of the network namespace that `run` starts programs in. Uses iproute2 and wireguard-tools. */
export function linuxNetworkDevices({
  run = runProgram,
  ipBatch = new IpBatch(),
  wireguardPrivateKey,
}: LinuxNetworkDevicesOptions): NetworkDevices {
  const runCommand = async (command: LinkCommand, signal: AbortSignal): Promise<string> => {
    const { program, args, input } = command;
    const result = await run(program, { args, signal, input });
    if (result.kind === "done") return result.stdout;
    const stderr = result.kind === "failed" ? (result.stderr ?? "") : "";
    const failure = `${[program, ...args].join(" ")}: ${failureOf(program, result)}`;
    throw new Error(batchFailure(command, stderr) ?? failure);
  };
  const listFdb = async (signal: AbortSignal): Promise<unknown> => {
    const stdout = await runCommand({ program: "bridge", args: ["-json", "fdb", "show"], input: "" }, signal);
    return stdout.trim() === "" ? [] : JSON.parse(stdout);
  };
  /** The ruleset that this agent has loaded. A ruleset of an earlier agent is unknown and will be replaced. */
  let loadedFilter = "unknown";
  const observeFilter = async (signal: AbortSignal): Promise<string> => {
    const listed = await run("nft", { args: ["list", "tables", "inet"], signal });
    // nft may be missing, or fail on a busy host. The agent then loads the rules again, and reports why it cannot.
    const exists = listed.kind === "done" && listed.stdout.split("\n").includes(`table ${VXLAN_TABLE}`);
    return exists ? loadedFilter : "";
  };
  return {
    async observe(nodeAddress, signal) {
      const [addresses, routes, fdb, neighbors, vxlanFilter] = await Promise.all([
        ipBatch.query(LIST_ADDRESSES, signal),
        ipBatch.query(LIST_ROUTES, signal),
        listFdb(signal),
        ipBatch.query(LIST_NEIGHBORS, signal),
        observeFilter(signal),
      ]);
      const listings = { addresses, routes, fdb, neighbors, vxlanFilter, wireguard: "" };
      const observed = parseLinks(listings, nodeAddress);
      if (!observed.links.has(WIREGUARD_DEVICE)) return observed;
      // Other networks must work without wg, and when the device of this name is not a WireGuard device.
      const dump = { program: "wg", args: ["show", WIREGUARD_DEVICE, "dump"], input: "" } as const;
      const wireguard = await runCommand(dump, signal).catch(() => "");
      signal.throwIfAborted();
      return parseLinks({ ...listings, wireguard }, nodeAddress);
    },
    observePorts: async (signal) => parseBridgePorts(await ipBatch.query(LIST_PORTS, signal)),
    async execute(steps, signal) {
      const commands: LinkCommand[] = [];
      for (const step of steps) {
        if (step.kind === "set-hairpins") ipBatch.send(hairpinLines(step));
        else commands.push(...linkCommands(step, wireguardPrivateKey));
      }
      for (const command of joinCommands(commands)) await runCommand(command, signal);
      for (const step of steps) if (step.kind === "set-vxlan-filter") loadedFilter = step.ruleset;
    },
  };
}

/** The kernel features that overlay networks need. */
export interface KernelSupport {
  /** Why this host cannot use overlay networks. Empty if it can. */
  readonly overlayProblem: string;
  /** Why this host cannot use encrypted networks. Empty if it can. */
  readonly encryptionProblem: string;
}

/** Name of the device that a test adds. */
const TEST_DEVICE = "bt";
const VXLAN_OPTIONS = ["id", "1", "dstport", String(VXLAN_PORT)];

/** Tests which network devices the kernel supports. Creates each in its own temporary network namespace. */
export async function detectKernelSupport(
  signal: AbortSignal,
  run: RunProgram = runProgram,
): Promise<KernelSupport> {
  const problemWith = async (deviceType: string, options: readonly string[] = []): Promise<string> => {
    const args = ["--net", "ip", "link", "add", TEST_DEVICE, "type", deviceType, ...options];
    return describeFailure(await run("unshare", { args, signal }), deviceType);
  };
  const [vxlanProblem, bridgeProblem, wireguardProblem, wg] = await Promise.all([
    problemWith("vxlan", VXLAN_OPTIONS),
    problemWith("bridge"),
    problemWith("wireguard"),
    run("wg", { args: ["--version"], signal }),
  ]);
  const wgProblem = wg.kind === "missing" ? "wg is not installed (wireguard-tools)" : "";
  return {
    overlayProblem: vxlanProblem || bridgeProblem,
    encryptionProblem: wireguardProblem || wgProblem,
  };
}

/** Returns why a device of this type could not be added, or "" if it could. */
function describeFailure(result: ProgramResult, deviceType: string): string {
  switch (result.kind) {
    case "done":
      return "";
    case "missing":
      return "unshare is not installed (util-linux)";
    case "failed": {
      const { reason } = result;
      if (/failed to execute/.test(reason)) return "ip is not installed (iproute2)";
      if (/Unknown device type/.test(reason)) return `the kernel has no ${deviceType}`;
      return /not permitted/.test(reason)
        ? `the agent is not allowed to create network devices: ${reason}`
        : reason;
    }
    default:
      return assertNever(result);
  }
}
