import { setTimeout as sleep } from "node:timers/promises";
import type { Probe, ProbeTarget } from "./probe-host.js";

export interface ProbeUntilSilentOptions extends ProbeTarget {
  readonly probe: Probe;
  /** Pause between a response and the next probe. */
  readonly everyMs: number;
  /** Replaces the pause of `everyMs`. */
  readonly pause?: () => Promise<void>;
  /** Whether the host is already known to respond to probes. Default: false. */
  readonly hasAnswered?: boolean;
}

/**
 * Probes a host until a probe gets no response. Returns true then, and false when `signal` is aborted.
 *
 * Keeps probing a host that has never responded, since a firewall may drop the probes.
 */
export async function probeUntilSilent(
  options: ProbeUntilSilentOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const { probe, everyMs } = options;
  let { hasAnswered = false } = options;
  while (!signal.aborted) {
    const isAnswered = await probe(options, signal);
    if (!isAnswered && hasAnswered && !signal.aborted) return true;
    hasAnswered ||= isAnswered;
    await (options.pause?.() ?? sleep(everyMs, undefined, { signal }).catch(() => {}));
  }
  return false;
}
