import { readFile } from "node:fs/promises";
import type { Logger } from "pino";
import { lockNftables, type ProcessLock } from "../../runtime/process-lock.js";
import type { KernelBalancer } from "../listeners/listener-manager.js";
import type { DataPath } from "../table/ingress-table.js";
import { type IngressMode, selectPath } from "./ingress-mode.js";
import { KernelPath, removeKernelPath } from "./kernel-path.js";
import { type KernelEndpoint, type KernelService, servicesByFrontend } from "./kernel-service.js";
import { KernelTable } from "./kernel-table.js";
import { NatHooks } from "./nat-hooks.js";
import { runNft } from "./nft.js";

const IP_FORWARD = "/proc/sys/net/ipv4/ip_forward";

/** Endpoints of the self-test, with addresses of RFC 5737, which are reserved for documentation. */
const REMOTE_ENDPOINT: KernelEndpoint = {
  id: "a",
  node: "a",
  address: "192.0.2.1",
  port: 1,
  clientAddress: "masqueraded",
  localSubnet: "",
};
const LOCAL_ENDPOINT: KernelEndpoint = {
  id: "b",
  node: "b",
  address: "192.0.2.2",
  port: 1,
  clientAddress: "preserved",
  localSubnet: "192.0.2.0/24",
};
const SELF_TEST_SERVICES: readonly KernelService[] = [
  {
    frontend: { kind: "port", protocol: "tcp", port: 1 },
    balance: "round-robin",
    endpoints: [REMOTE_ENDPOINT, LOCAL_ENDPOINT],
  },
  {
    frontend: { kind: "bound", protocol: "udp", address: "192.0.2.3", port: 1 },
    balance: "source-hash",
    endpoints: [REMOTE_ENDPOINT],
  },
];

/** A ruleset that uses every feature of nftables that berth needs. */
export const SELF_TEST_RULESET = new KernelTable().load(servicesByFrontend(SELF_TEST_SERVICES));

/** The selected data path of this process. */
export interface OpenedPath {
  readonly balancer: KernelBalancer;
  /** Whether this process holds the table lock and may change the kernel's tables. */
  readonly ownsTable: boolean;
  /** Returns the current data path of new connections, and why it was selected. */
  current(): DataPath;
  /** @param isLast whether no successor takes over: then the kernel's table is removed, else it keeps balancing */
  close(options: { readonly isLast: boolean }): Promise<void>;
}

/** The inputs of {@link openKernelPath}. */
export interface KernelPathChoice {
  readonly mode: IngressMode;
  readonly log: Logger;
  /** Removes the virtual IPs of an earlier process. */
  readonly removeVips: (signal: AbortSignal) => Promise<void>;
}

/**
 * Selects the data path of the ingress process, and starts the kernel path when the host supports it. Until then the
 * table of an earlier process keeps balancing.
 */
export async function openKernelPath({ mode, log, removeVips }: KernelPathChoice): Promise<OpenedPath> {
  const closing = new AbortController();
  const { lock, problem: lockProblem } = mode === "userspace" ? {} : await tryLockTables();
  const problem =
    mode === "userspace" ? undefined : (lockProblem ?? (await findKernelProblem(closing.signal)));
  const selected = selectPath(mode, problem);
  const natHooks = new NatHooks();
  const kernel = selected.kernel ? new KernelPath({ log }) : undefined;
  const removeLeftovers = async (): Promise<void> => {
    await removeKernelPath(closing.signal).catch(() => {});
    // In other modes VipBalancer takes over the virtual IPs.
    if (mode === "userspace") await removeVips(closing.signal).catch(() => {});
  };
  return {
    ownsTable: lock !== undefined,
    balancer: kernel ?? createIdleBalancer(removeLeftovers),
    current: () => (kernel?.problem === undefined ? selected : { kernel: false, reason: kernel.problem }),
    close: async (options) => {
      natHooks.close();
      await kernel?.close(options);
      closing.abort();
      lock?.release();
    },
  };
}

/** Returns a balancer that balances nothing. It removes the leftovers of an earlier process once the proxy listens. */
function createIdleBalancer(removeLeftovers: () => Promise<void>): KernelBalancer {
  let isFirst = true;
  return {
    apply: async () => {
      if (!isFirst) return;
      isFirst = false;
      const { lock } = await tryLockTables();
      if (lock === undefined) return;
      await removeLeftovers();
      lock.release();
    },
    setSuspectNodes: () => Promise.resolve(),
    addStatistics: (stats) => Promise.resolve(stats),
  };
}

/** Takes the lock of the kernel's tables, or returns why this process cannot. */
async function tryLockTables(): Promise<{ readonly lock?: ProcessLock; readonly problem?: string }> {
  try {
    const lock = await lockNftables();
    return lock === undefined
      ? { problem: "another ingress process on this host uses the kernel path" }
      : { lock };
  } catch (error) {
    // Only root can create the lock. It gives the lock to the user of an unprivileged ingress process.
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

/** Returns why the kernel path does not work on this host, or undefined if it does. */
async function findKernelProblem(signal: AbortSignal): Promise<string | undefined> {
  const failure = await runNft(SELF_TEST_RULESET, { signal, isDryRun: true });
  if (failure !== undefined) return failure.replace(/^.*?Error: /, "nft: ");
  const forwarding = await readFile(IP_FORWARD, "utf8").catch(() => "");
  if (forwarding.trim() !== "1") return `IP forwarding is disabled; set ${IP_FORWARD} to 1`;
  return undefined;
}
