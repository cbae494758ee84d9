import { hashText } from "./rng.js";

/** Lines kept for a person: the end of a history tells what went wrong. */
const MAX_LINES = 4_000;

/** What happened, in order. The hash covers all of it; the lines are kept when somebody wants to read them. */
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

  /** True when lines are kept: what is dear to put into words need not be otherwise. */
  get isRecorded(): boolean {
    return this.#keepsLines;
  }

  /** `detail` is for people alone. */
  add(who: string, what: string, detail = ""): void {
    const nowMs = this.#nowMs();
    this.#hash = hashText(what, hashText(who, this.#hash ^ Math.round(nowMs * 1_000)));
    this.note(who, `${what}${detail}`);
  }

  /** A message: part of the hash, and too common to be read. */
  count(who: string, path: string, bytes: number): void {
    this.#hash = hashText(path, hashText(who, this.#hash ^ Math.round(this.#nowMs() * 1_000) ^ bytes));
  }

  /** For people alone: no part of the hash. */
  note(who: string, what: string): void {
    if (!this.#keepsLines) return;
    const seconds = (this.#nowMs() / 1_000).toFixed(3).padStart(8);
    this.#lines.push(`${seconds} ${who.padEnd(8)} ${what}`);
    if (this.#lines.length > MAX_LINES) this.#lines.shift();
  }
}
