import type { SimEvent } from "./scheduler.js";

/** One process: it runs until it is killed, and is not started again. */
export class Actor {
  readonly name: string;
  readonly host: string;
  isAlive = true;
  isPaused = false;
  /** Events that arrived while it was paused, in order. */
  readonly backlog: SimEvent[] = [];
  /** Its event loop is busy until then. */
  busyUntilMs = 0;
  /** Duration of each turn of its event loop. */
  turnMs = 0;
  readonly #onDeath: (() => void)[] = [];

  constructor(name: string, host: string) {
    this.name = name;
    this.host = host;
  }

  /** Registers what its kernel does when it is killed. */
  onKill(run: () => void): void {
    this.#onDeath.push(run);
  }

  /** Ends the process between two events. */
  kill(): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    this.backlog.length = 0;
    for (const run of this.#onDeath.splice(0)) run();
  }
}
