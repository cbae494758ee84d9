import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { fileOf } from "../targets/targets.js";
import { saveFailure } from "./corpus.js";
import { maxBytesOf, type Target } from "./target.js";
import { CurrentInput, type TargetReport, type WorkerTask } from "./worker-messages.js";

/** Far longer than any input takes, even on a busy machine, and than the selection of the corpus. */
const HANG_MS = 30_000;
/** On a busy machine, compiling the target takes a while. */
const START_MS = 180_000;
const POLL_MS = 1_000;

export interface RunOptions {
  readonly seed: number;
  readonly forMs: number;
  /** Directory of the corpora, with one subdirectory per target. */
  readonly corpus: string;
  /**
   * Directory with additional seeds. With it, the corpus stays unchanged, because foreign files do not belong in it.
   */
  readonly seeds: string | undefined;
}

/** Fuzzes a target in a worker thread. Terminates the thread if an input does not return. */
export async function runTarget(target: Target, options: RunOptions): Promise<TargetReport> {
  const current = CurrentInput.allocate(maxBytesOf(target));
  const file = fileOf(target).href;
  const task: WorkerTask = { target: target.name, file, ...options, current: current.buffer };
  const worker = new Worker(new URL("worker.mjs", import.meta.url), { workerData: task });
  const startMs = performance.now();
  let [lastCount, lastChangeMs] = [0, startMs];
  let isHanging = false;
  const timer = setInterval(() => {
    if (current.count !== lastCount) [lastCount, lastChangeMs] = [current.count, performance.now()];
    isHanging = performance.now() - lastChangeMs > (lastCount === 0 ? START_MS : HANG_MS);
    if (isHanging) void worker.terminate();
  }, POLL_MS);
  try {
    const [report] = await Promise.race([
      once(worker, "message"),
      once(worker, "exit").then(() => [undefined]),
    ]);
    if (report !== undefined) return report;
    if (!isHanging) throw new Error(`${target.name}: the worker thread exited`);
    return hangReport(target, options, { current, elapsedMs: performance.now() - startMs });
  } finally {
    clearInterval(timer);
    await worker.terminate();
  }
}

function hangReport(
  { name }: Target,
  { corpus }: RunOptions,
  { current, elapsedMs }: { readonly current: CurrentInput; readonly elapsedMs: number },
): TargetReport {
  const reason = `did not return within ${HANG_MS / 1_000} s`;
  const file = saveFailure(corpus, name, { kind: "hang", reason, input: current.get() });
  return { executions: current.count, elapsedMs, newInputs: 0, failure: { kind: "hang", reason, file } };
}
