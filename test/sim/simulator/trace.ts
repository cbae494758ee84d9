import { hashText } from "./rng.js";

/** Maximum number of recorded lines. The last ones show what went wrong. */
const MAX_LINES = 4_000;

/** The events of a simulation. The hash covers all of them; lines are recorded only on request. */
export class Trace {
  readonly #nowMs: () => number;
  readonly #keepsLines: boolean;
  readonly #lines: string[] = [];
  #hash = 0;

  constructor(options: { readonly nowMs: () => number; readonly keepsLines: boolean }) {
    this.#nowMs = options.nowMs;
    this.#keepsLines = options.keepsLines;
  }

  get hash(): string {
    return this.#hash.toString(16).padStart(8, "0");
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  /** Whether lines are recorded. Otherwise callers skip expensive descriptions. */
  get isRecorded(): boolean {
    return this.#keepsLines;
  }

  /** Adds an event. `detail` is not part of the hash. */
  add(who: string, what: string, detail = ""): void {
    const nowMs = this.#nowMs();
    this.#hash = hashText(what, hashText(who, this.#hash ^ Math.round(nowMs * 1_000)));
    this.note(who, `${what}${detail}`);
  }

  /** Adds a message to the hash, without a line. */
  count(who: string, path: string, bytes: number): void {
    this.#hash = hashText(path, hashText(who, this.#hash ^ Math.round(this.#nowMs() * 1_000) ^ bytes));
  }

  /** Adds a line that is not part of the hash. */
  note(who: string, what: string): void {
    if (!this.#keepsLines) return;
    const seconds = (this.#nowMs() / 1_000).toFixed(3).padStart(8);
    this.#lines.push(`${seconds} ${who.padEnd(8)} ${what}`);
    if (this.#lines.length > MAX_LINES) this.#lines.shift();
  }
}
