import { setMaxListeners } from "node:events";
import { PROBE_TRIES, PROBE_TRY_MS, type ProbeRequest, type ProbeResult } from "@berth/proto";
import type { Probe } from "@berth/proto/probe";

/**
 * Maximum number of concurrent probes. Further requests are ignored, so that the leader does not mistake an overload
 * for a dead host.
 */
const MAX_CONCURRENT = 64;

/** Answers the leader's probe requests: whether this host reaches another one. */
export class ProbeResponder {
  readonly #probe: Probe;
  readonly #signal: AbortSignal;
  #running = 0;

  constructor(probe: Probe, signal: AbortSignal) {
    this.#probe = probe;
    this.#signal = signal;
    // Each running probe adds a listener.
    setMaxListeners(0, signal);
  }

  /** Returns undefined if too many probes are running. Never rejects. */
  async answer({ requestId, address, port }: ProbeRequest): Promise<ProbeResult | undefined> {
    if (this.#running >= MAX_CONCURRENT) return undefined;
    this.#running += 1;
    const target = { address, port, tries: PROBE_TRIES, tryMs: PROBE_TRY_MS };
    const answered = await this.#probe(target, this.#signal);
    this.#running -= 1;
    return { requestId, answered };
  }
}
