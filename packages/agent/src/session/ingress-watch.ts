import { setTimeout as sleep } from "node:timers/promises";
import type { IngressStats } from "../ingress/table.js";
import { withDeadline } from "../with-deadline.js";

/** Ports come free and processes start again within seconds: no use in telling of a state sooner. */
const CHECK_MS = 3_000;
/** The process answers within milliseconds, and is started again within a second when it dies. */
const ANSWER_TIMEOUT_MS = 5_000;

export interface IngressWatchOptions {
  readonly stats: (signal: AbortSignal) => Promise<Pick<IngressStats, "errors" | "nameProblems">>;
  readonly onProblems: (problems: readonly string[]) => void;
  /** Ends the watch. */
  readonly signal: AbortSignal;
}

/** Asks the ingress process every few seconds what is wrong with the published ports of this host. */
export async function watchIngress({ stats, onProblems, signal }: IngressWatchOptions): Promise<void> {
  while (!signal.aborted) {
    const problems = await problemsOf(stats, signal);
    if (signal.aborted) return;
    onProblems(problems);
    await sleep(CHECK_MS, undefined, { signal }).catch(() => {});
  }
}

async function problemsOf(
  stats: IngressWatchOptions["stats"],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const onTimeout = (): Error => new Error(`no answer within ${ANSWER_TIMEOUT_MS / 1_000} s`);
  try {
    const deadline = { signal, timeoutMs: ANSWER_TIMEOUT_MS, onTimeout };
    const { errors, nameProblems } = await withDeadline(deadline, stats);
    return [...errors.map(({ message }) => message), ...nameProblems];
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [`published ports may not answer here: the ingress process is in trouble: ${reason}`];
  }
}
