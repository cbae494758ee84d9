import type { SimEvent } from "./scheduler.js";

/** One start of one program: it lives until it is killed, and never again after that. */
export class Actor {
  readonly name: string;
  readonly host: string;
  isAlive = true;
  isPaused = false;
  /** What came while it was paused, in order. */
  readonly backlog: SimEvent[] = [];
  /** Its event loop is taken until then. */
  busyUntilMs = 0;
  /** How long each turn of its event loop takes. */
  turnMs = 0;
  readonly #onDeath: (() => void)[] = [];

  constructor(name: string, host: string) {
    this.name = name;
    this.host = host;
  }

  /** Called when it is killed, from outside of it: what its kernel does for it. */
  onKill(run: () => void): void {
    this.#onDeath.push(run);
  }

  /** Between two effects: nothing of it runs any more. */
  kill(): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    this.backlog.length = 0;
    for (const run of this.#onDeath.splice(0)) run();
  }
}
