/** So many heartbeats go by for each that asks for an answer: four messages a second would cost a large cluster's leader. */
const BEATS_PER_QUESTION = 4;
/**
 * A leader that answers nothing for longer stands still, or cannot be reached, though its host's kernel answers. Longer
 * than one that leads a hundred thousand tasks is ever busy with one thing, and shorter than it takes the connection to
 * be given up (15 s).
 */
const SILENT_MS = 3_000;
/** A question that has been missed, for whatever reason, is followed by another one: so many beats of patience, too. */
const SILENT_BEATS = 2 * BEATS_PER_QUESTION;
/** This process itself stood still: what has come meanwhile has not been read yet. */
const OWN_LAG_MS = 500;

export interface Beat {
  readonly nowMs: number;
  /** How late the beat is. */
  readonly lagMs: number;
  readonly intervalMs: number;
}

export interface SilenceVerdict {
  /** The beat is to ask for an answer. */
  readonly asks: boolean;
  /** The leader has answered nothing for too long. */
  readonly isSilent: boolean;
}

/** Finds out whether a leader that is asked every now and then still answers. No clock. */
export class LeaderSilence {
  #heardMs: number;
  #beats = 0;

  constructor(nowMs: number) {
    this.#heardMs = nowMs;
  }

  /** It said something, whatever that was. */
  heard(nowMs: number): void {
    this.#heardMs = nowMs;
  }

  beat({ nowMs, lagMs, intervalMs }: Beat): SilenceVerdict {
    if (lagMs > OWN_LAG_MS) this.#heardMs = nowMs;
    const asks = this.#beats % BEATS_PER_QUESTION === 0;
    this.#beats += 1;
    return { asks, isSilent: nowMs - this.#heardMs >= Math.max(SILENT_MS, SILENT_BEATS * intervalMs) };
  }
}
