import type { Logger } from "pino";
import type { KernelBalancer } from "../listeners/listener-manager.js";
import type { DataPath } from "../table/ingress-table.js";
import { removeVips } from "../vips/remove-vips.js";
import { type IngressMode, selectPath } from "./ingress-mode.js";
import { KernelPath, removeTable } from "./kernel-path.js";
import { testKernelSupport } from "./self-test.js";
import { lockTable } from "./table-lock.js";

/** What the ingress process uses of the kernel. */
export interface OpenedPath {
  readonly balancer: KernelBalancer;
  /** This process holds the table lock: it may change the kernel's tables. */
  readonly ownsTable: boolean;
  /** Where new connections are balanced at the moment. */
  current(): DataPath;
  /** @param isLast nobody takes over: what is ours in the kernel goes. Otherwise the kernel balances on as it does. */
  close(options: { readonly isLast: boolean }): Promise<void>;
}

/** Finds out whether the kernel shall and can balance, and begins. What an earlier process left serves until then. */
export async function openKernelPath(mode: IngressMode, log: Logger): Promise<OpenedPath> {
  const lock = mode === "userspace" ? undefined : await lockTable();
  const closing = new AbortController();
  const problem = mode === "userspace" ? undefined : await problemOf(lock !== undefined, closing.signal);
  const chosen = selectPath(mode, problem);
  const kernel = chosen.kernel ? new KernelPath({ log }) : undefined;
  return {
    ownsTable: lock !== undefined,
    balancer: kernel ?? removingLeftovers(mode, closing.signal),
    current: () => (kernel?.problem === undefined ? chosen : { kernel: false, reason: kernel.problem }),
    close: async (options) => {
      await kernel?.close(options);
      closing.abort();
      lock?.close();
    },
  };
}

/** On a host whose kernel shall not balance: what an earlier process has left there goes once we listen. */
function removingLeftovers(mode: IngressMode, signal: AbortSignal): KernelBalancer {
  let isDone = false;
  return {
    apply: async () => {
      if (isDone) return;
      isDone = true;
      const lock = await lockTable();
      if (lock === undefined) return;
      await removeTable(signal).catch(() => {});
      // In any other mode virtual IPs are balanced all the same, or their own balancer says why not.
      if (mode === "userspace") await removeVips(signal).catch(() => {});
      lock.close();
    },
    suspect: () => Promise.resolve(),
    addStatistics: (stats) => Promise.resolve(stats),
  };
}

function problemOf(isOurs: boolean, signal: AbortSignal): Promise<string | undefined> {
  if (isOurs) return testKernelSupport(signal);
  return Promise.resolve("another ingress process of this host has the kernel's table");
}
