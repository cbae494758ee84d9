import { setTimeout as sleep } from "node:timers/promises";
import type { DataPath, IngressStatus } from "../dataplane/table/ingress-table.js";
import { withDeadline } from "../runtime/with-deadline.js";

/** Ports come free and processes start again within seconds: no use in telling of a state sooner. */
const CHECK_MS = 3_000;
/** The process answers within milliseconds, and is started again within a second when it dies. */
const ANSWER_TIMEOUT_MS = 5_000;

export interface IngressWatchOptions {
  readonly condition: (signal: AbortSignal) => Promise<IngressStatus>;
  readonly onPath: (path: DataPath) => void;
  readonly onProblems: (problems: readonly string[]) => void;
  /** Ends the watch. */
  readonly signal: AbortSignal;
}

/** Asks the ingress process every few seconds which path it takes and what is wrong with the host's published ports. */
export async function watchIngress(options: IngressWatchOptions): Promise<void> {
  const { onProblems, onPath, signal } = options;
  while (!signal.aborted) {
    const { path, problems } = await look(options);
    if (signal.aborted) return;
    if (path !== undefined) onPath(path);
    onProblems(problems);
    await sleep(CHECK_MS, undefined, { signal }).catch(() => {});
  }
}

async function look({ condition, signal }: IngressWatchOptions): Promise<{
  readonly path: DataPath | undefined;
  readonly problems: readonly string[];
}> {
  const onTimeout = (): Error => new Error(`no answer within ${ANSWER_TIMEOUT_MS / 1_000} s`);
  try {
    const deadline = { signal, timeoutMs: ANSWER_TIMEOUT_MS, onTimeout };
    const {
      errors,
      dnsProblems: nameProblems,
      fdProblem: shortage,
      path,
    } = await withDeadline(deadline, condition);
    const problems = [...errors.map(({ message }) => message), ...nameProblems];
    return { path, problems: shortage === undefined ? problems : [...problems, shortage] };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const problem = `published ports may not answer here: the ingress process is in trouble: ${reason}`;
    return { path: undefined, problems: [problem] };
  }
}
