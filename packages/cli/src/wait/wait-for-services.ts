import { setTimeout as sleep } from "node:timers/promises";
import type { ControlClient } from "../client/client.js";
import { type Cli, InterruptedError } from "../process/cli.js";
import { evaluateWait } from "./evaluate-wait.js";
import { lastOutputs } from "./last-output.js";
import { addMissedFailures } from "./missed-failures.js";
import { type AwaitedService, applyUpdate, initialProgress, type Progress } from "./progress.js";
import type { ProgressPrinter } from "./progress-printer.js";
import { timeoutError, waitFailedError } from "./wait-errors.js";
import { watchServices } from "./watch.js";

/** Timers cannot be set for longer than 24 days: `--timeout 30d` sleeps in parts. */
const MAX_SLEEP_MS = 3_600_000;

export interface WaitOptions {
  readonly services: readonly AwaitedService[];
  readonly timeoutMs: number;
  readonly printer: ProgressPrinter;
  /** What goes on when the user stops waiting: `The deploy of shop goes on`. */
  readonly operation: string;
}

/**
 * Waits until the services are as they should be, showing how far they are.
 * @throws BerthError BERTH_ROLLED_BACK and BERTH_ROLLOUT_PAUSED when that came of a change, BERTH_TASK_FAILED when
 * tasks fail again and again or a job did, BERTH_NOT_CONVERGED at the timeout; InterruptedError when the user stops waiting.
 */
export async function waitForServices(
  cli: Cli,
  client: ControlClient,
  options: WaitOptions,
): Promise<Progress> {
  const deadlineMs = cli.now() + options.timeoutMs;
  const over = new AbortController();
  const signal = AbortSignal.any([cli.signal, over.signal]);
  const ids = options.services.map(({ id }) => id);
  const messages = watchServices(client, ids, { signal, onLost: options.printer.lost });
  let progress = initialProgress(options.services);
  let next = messages.next();
  try {
    for (;;) {
      const verdict = evaluateWait(progress, cli.now());
      if (verdict.kind === "done") return progress;
      if (verdict.kind === "hopeless") {
        progress = await addMissedFailures(cli, client, progress);
        throw waitFailedError(progress, await lastOutputs(cli, client, progress));
      }
      if (cli.now() >= deadlineMs) throw timeoutError(progress, options.timeoutMs);
      const wakeAtMs = Math.min(deadlineMs, verdict.untilMs ?? deadlineMs);
      const ms = Math.min(MAX_SLEEP_MS, Math.max(0, wakeAtMs - cli.now()));
      const message = await nextOrTimer(next, { ms, signal });
      if (message === undefined) continue;
      if (message.done) throw new Error("the watch ended");
      progress = applyUpdate(progress, message.value, cli.now());
      options.printer.show(progress);
      next = messages.next();
    }
  } catch (error) {
    if (!cli.signal.aborted) throw error;
    throw new InterruptedError(
      `Stopped waiting. ${options.operation}: berth stack ps and berth service ps show how far it is.`,
    );
  } finally {
    options.printer.finish(progress);
    over.abort();
    // What was asked for last ends with an abort that nobody waits for.
    next.catch(() => {});
  }
}

/** What the promise gives, or undefined when the time is up first. */
async function nextOrTimer<T>(
  next: Promise<T>,
  { ms, signal }: { ms: number; signal: AbortSignal },
): Promise<T | undefined> {
  const timer = new AbortController();
  const timeUp = sleep(ms, undefined, { signal: AbortSignal.any([signal, timer.signal]) });
  try {
    return await Promise.race([next, timeUp]);
  } finally {
    timer.abort();
    timeUp.catch(() => {});
  }
}
