import { setTimeout as sleep } from "node:timers/promises";
import type { DataPath, IngressStatus } from "../dataplane/table/ingress-table.js";
import { withDeadline } from "../runtime/with-deadline.js";

/**
 * Interval between two status checks. Ports become free and processes restart within seconds, so a shorter interval
 * would report transient problems.
 */
const CHECK_INTERVAL_MS = 3_000;
/** Timeout of a status check. The process responds within milliseconds, and restarts within a second. */
const REPLY_TIMEOUT_MS = 5_000;

export interface IngressWatchOptions {
  readonly status: (signal: AbortSignal) => Promise<IngressStatus>;
  readonly onDataPath: (path: DataPath) => void;
  readonly onProblems: (problems: readonly string[]) => void;
  /** Ends the watch. */
  readonly signal: AbortSignal;
}

/** Polls the status of the ingress process, and reports its data path and its problems with published ports and DNS. */
export async function watchIngress(options: IngressWatchOptions): Promise<void> {
  const { onProblems, onDataPath, signal } = options;
  while (!signal.aborted) {
    const { path, problems } = await readStatus(options);
    if (signal.aborted) return;
    if (path !== undefined) onDataPath(path);
    onProblems(problems);
    // An abort ends the pause and the loop.
    await sleep(CHECK_INTERVAL_MS, undefined, { signal }).catch(() => {});
  }
}

async function readStatus({ status, signal }: IngressWatchOptions): Promise<{
  readonly path: DataPath | undefined;
  readonly problems: readonly string[];
}> {
  const onTimeout = (): Error => new Error(`no response within ${REPLY_TIMEOUT_MS / 1_000} s`);
  try {
    const deadline = { signal, timeoutMs: REPLY_TIMEOUT_MS, onTimeout };
    const { errors, dnsProblems, fdProblem, path } = await withDeadline(deadline, status);
    const problems = [...errors.map(({ message }) => message), ...dnsProblems];
    return { path, problems: fdProblem === undefined ? problems : [...problems, fdProblem] };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return {
      path: undefined,
      problems: [`published ports may not respond on this node: ingress process: ${reason}`],
    };
  }
}
