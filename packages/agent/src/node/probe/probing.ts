import { setMaxListeners } from "node:events";
import { PROBE_TRIES, PROBE_TRY_MS, type ProbeRequest, type ProbeResult } from "@berth/proto";
import type { Probe } from "@berth/proto/probe";

/** More questions than this at a time get no answer: they are the leader's trouble, not that of the hosts asked about. */
const MAX_AT_ONCE = 64;

/** Finds out for the leader whether this host reaches others. */
export class Probing {
  readonly #probe: Probe;
  readonly #signal: AbortSignal;
  #running = 0;

  constructor(probe: Probe, signal: AbortSignal) {
    this.#probe = probe;
    this.#signal = signal;
    // Each question that is open hears of its end, beside whatever else does.
    setMaxListeners(0, signal);
  }

  /** Never rejects. Undefined: too much was asked. */
  async answer({ requestId, address, port }: ProbeRequest): Promise<ProbeResult | undefined> {
    if (this.#running >= MAX_AT_ONCE) return undefined;
    this.#running += 1;
    const answered = await this.#probe(
      { address, port, tries: PROBE_TRIES, tryMs: PROBE_TRY_MS },
      this.#signal,
    );
    this.#running -= 1;
    return { requestId, answered };
  }
}
