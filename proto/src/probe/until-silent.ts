import { setTimeout as sleep } from "node:timers/promises";
import type { Probe, ProbeTarget } from "./probe-host.js";

export interface UntilSilentOptions extends ProbeTarget {
  readonly probe: Probe;
  /** Between an answer and the next question. */
  readonly everyMs: number;
  /** Waits for so long in another way. */
  readonly pause?: () => Promise<void>;
  /** Whether it is known that the host answers when it lives. @default its first answer shows it */
  readonly hasAnswered?: boolean;
}

/**
 * Resolves with true when a host that has answered before answers no more, all `tries` of a probe; with false when
 * `signal` fires. A host that never answered is not judged: a firewall may swallow the probes.
 */
export async function untilSilent(options: UntilSilentOptions, signal: AbortSignal): Promise<boolean> {
  const { probe, everyMs } = options;
  let { hasAnswered = false } = options;
  while (!signal.aborted) {
    const answers = await probe(options, signal);
    if (!answers && hasAnswered && !signal.aborted) return true;
    hasAnswered ||= answers;
    await (options.pause?.() ?? sleep(everyMs, undefined, { signal }).catch(() => {}));
  }
  return false;
}
