import { setMaxListeners } from "node:events";
import { PROBE_PORT, type Probe } from "@berth/proto/probe";

/** Hosts looked at one beside the other: a server that has just taken over has a thousand of them connect at once. */
const MAX_AT_ONCE = 16;

/** Patient: what a live host does not answer within this, it answers never. */
const TRIES = 3;
const TRY_MS = 500;

/** Tries out whether hosts answer probes while their agents are heard: of those that do not, silence proves nothing. */
export class ProbeCheck {
  readonly #probe: Probe;
  readonly #onResult: (nodeId: string, answered: boolean) => void;
  readonly #signal: AbortSignal;
  readonly #waiting = new Map<string, string>();
  #running = 0;

  constructor(options: {
    readonly probe: Probe;
    readonly onResult: (nodeId: string, answered: boolean) => void;
    readonly signal: AbortSignal;
  }) {
    this.#probe = options.probe;
    this.#onResult = options.onResult;
    this.#signal = options.signal;
    // Each probe that is under way hears of its end, beside whatever else does.
    setMaxListeners(0, options.signal);
  }

  add(nodeId: string, address: string): void {
    this.#waiting.set(nodeId, address);
    if (this.#running < MAX_AT_ONCE) void this.#work();
  }

  async #work(): Promise<void> {
    this.#running += 1;
    for (const [nodeId, address] of this.#waiting) {
      this.#waiting.delete(nodeId);
      const target = { address, port: PROBE_PORT, tries: TRIES, tryMs: TRY_MS };
      const answered = await this.#probe(target, this.#signal);
      if (this.#signal.aborted) break;
      this.#onResult(nodeId, answered);
    }
    this.#running -= 1;
  }
}
