import { setTimeout as sleep } from "node:timers/promises";
import type { ControlClient } from "../client/client.js";
import { type Cli, InterruptedError } from "../process/cli.js";
import { evaluateWait } from "./evaluate-wait.js";
import { addMissedFailures, fetchLastOutputs } from "./failure-details.js";
import { type AwaitedService, applyUpdate, initialProgress, type Progress } from "./progress.js";
import type { ProgressPrinter } from "./progress-printer.js";
import { timeoutError, waitFailedError } from "./wait-errors.js";
import { watchServices } from "./watch-services.js";

/** Longest sleep. Timers are limited to 24 days, so `--timeout 30d` needs several sleeps. */
const MAX_SLEEP_MS = 3_600_000;

export interface WaitOptions {
  readonly services: readonly AwaitedService[];
  readonly timeoutMs: number;
  readonly printer: ProgressPrinter;
  /** The operation to wait for, such as "deployment of shop", for messages. */
  readonly operation: string;
}

/**
 * Waits for services to converge and prints their progress.
 *
 * @throws BerthError BERTH_ROLLED_BACK or BERTH_ROLLOUT_PAUSED if an update failed, BERTH_TASK_FAILED if tasks keep
 *   failing or a job failed, BERTH_NOT_CONVERGED at the timeout
 * @throws InterruptedError if the user stops waiting
 */
export async function waitForServices(
  cli: Cli,
  client: ControlClient,
  options: WaitOptions,
): Promise<Progress> {
  const deadlineMs = cli.now() + options.timeoutMs;
  const watchController = new AbortController();
  const signal = AbortSignal.any([cli.signal, watchController.signal]);
  const ids = options.services.map(({ id }) => id);
  const messages = watchServices(client, ids, { signal, onLost: options.printer.reportConnectionLost });
  let progress = initialProgress(options.services);
  let next = messages.next();
  try {
    for (;;) {
      const verdict = evaluateWait(progress, cli.now());
      if (verdict.kind === "converged") return progress;
      if (verdict.kind === "failed") {
        progress = await addMissedFailures(cli, client, progress);
        throw waitFailedError(progress, await fetchLastOutputs(cli, client, progress));
      }
      if (cli.now() >= deadlineMs) throw timeoutError(progress, options.timeoutMs, options.operation);
      const wakeAtMs = Math.min(deadlineMs, verdict.untilMs ?? deadlineMs);
      const timeoutMs = Math.min(MAX_SLEEP_MS, Math.max(0, wakeAtMs - cli.now()));
      const message = await nextOrTimeout(next, { timeoutMs, signal });
      if (message === undefined) continue;
      if (message.done) throw new Error("the watch ended");
      progress = applyUpdate(progress, message.value, cli.now());
      options.printer.show(progress);
      next = messages.next();
    }
  } catch (error) {
    if (!cli.signal.aborted) throw error;
    throw new InterruptedError(
      `Stopped waiting. The ${options.operation} continues in the background; check it with berth stack ps or berth service ps.`,
    );
  } finally {
    options.printer.finish(progress);
    watchController.abort();
    // Prevents an unhandled rejection of the pending read, which the abort rejects.
    next.catch(() => {});
  }
}

/** Returns the result of a promise, or undefined after `timeoutMs`. */
async function nextOrTimeout<T>(
  next: Promise<T>,
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<T | undefined> {
  const timer = new AbortController();
  const timeout = sleep(timeoutMs, undefined, { signal: AbortSignal.any([signal, timer.signal]) });
  try {
    return await Promise.race([next, timeout]);
  } finally {
    timer.abort();
    timeout.catch(() => {});
  }
}
