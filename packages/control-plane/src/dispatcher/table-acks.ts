/** Answers cover all that was asked before: of the questions to an agent that never answers, the last ones do. */
const MAX_OPEN = 64;

/** Which version of the tables one agent has in force, by its own word, and which one it is to tell of. */
export class TableAcks {
  /** Versions by the sequence of the assignments that brought them, oldest first. */
  readonly #open = new Map<number, number>();
  #wanted = 0;
  #asked = 0;
  #inForce = 0;

  /** 0: it has not said. */
  get inForce(): number {
    return this.#inForce;
  }

  /** The next assignments are to ask for an answer. */
  get isDue(): boolean {
    return this.#wanted > Math.max(this.#asked, this.#inForce);
  }

  /** The agent is to say when this version, or a later one, is in force. */
  want(version: number): void {
    this.#wanted = Math.max(this.#wanted, version);
  }

  /** Assignments that ask for an answer bring this version. */
  asked(sequence: number, version: number): void {
    this.#asked = version;
    this.#open.set(sequence, version);
    const [oldest] = this.#open.keys();
    if (this.#open.size > MAX_OPEN && oldest !== undefined) this.#open.delete(oldest);
  }

  /** The agent has in force what it was sent up to this sequence. True when that is news. */
  applied(sequence: number): boolean {
    const before = this.#inForce;
    for (const [asked, version] of this.#open) {
      if (asked > sequence) break;
      this.#open.delete(asked);
      this.#inForce = Math.max(this.#inForce, version);
    }
    return this.#inForce > before;
  }
}
