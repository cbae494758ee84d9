import { onAbort } from "./abort.js";

export interface LinkedSignal {
  readonly signal: AbortSignal;
  /** Aborts it, unless it has been. */
  abort(reason: unknown): void;
  /** Lets go of the signals that it follows. */
  unlink(): void;
}

/**
 * A signal that aborts with the first of several. Unlike `AbortSignal.any` it leaves nothing on those that live longer,
 * once it is unlinked: a term or a process can outlive thousands of calls.
 */
export function linkSignals(...signals: readonly AbortSignal[]): LinkedSignal {
  const controller = new AbortController();
  const forget = signals.map((each) => onAbort(each, () => controller.abort(each.reason)));
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    unlink: () => {
      for (const stop of forget) stop();
    },
  };
}
