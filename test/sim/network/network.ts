import type { Actor } from "../simulator/actor.js";
import type { Rng } from "../simulator/rng.js";
import type { Scheduler } from "../simulator/scheduler.js";

const MIN_DELAY_MS = 0.2;
const USUAL_DELAY_MS = 2;
/** Time after which the kernel sends a lost segment again. */
const RETRANSMIT_MS = 200;
const LOSS = 0.005;

/** A process that listens at an address. */
export interface Listener {
  readonly actor: Actor;
  readonly accept: unknown;
}

export interface NetworkOptions {
  readonly scheduler: Scheduler;
  readonly rng: Rng;
}

/** The network: which hosts reach each other, with what delay, and which processes listen. */
export class Network {
  readonly scheduler: Scheduler;
  readonly listeners = new Map<string, Listener>();
  /** Host names by address. */
  readonly addresses = new Map<string, string>();
  readonly #rng: Rng;
  readonly #blocked = new Map<string, number>();
  readonly #poweredOff = new Set<string>();
  readonly #waiting = new Set<() => void>();
  readonly #onReset = new Set<(host: string) => void>();
  /** Additional delay of every segment, as under load. */
  slownessMs = 0;

  constructor({ scheduler, rng }: NetworkOptions) {
    this.scheduler = scheduler;
    this.#rng = rng;
  }

  hostAt(address: string): string {
    return this.addresses.get(address) ?? address;
  }

  /** Drops packets from one host to another. Several faults may block the same direction. */
  block(from: string, to: string): void {
    const way = `${from}>${to}`;
    this.#blocked.set(way, (this.#blocked.get(way) ?? 0) + 1);
  }

  unblock(from: string, to: string): void {
    const way = `${from}>${to}`;
    const causes = (this.#blocked.get(way) ?? 1) - 1;
    if (causes > 0) this.#blocked.set(way, causes);
    else this.#blocked.delete(way);
    this.#wake();
  }

  powerOff(host: string): void {
    this.#poweredOff.add(host);
  }

  powerOn(host: string): void {
    this.#poweredOff.delete(host);
    this.#wake();
  }

  hasPower(host: string): boolean {
    return !this.#poweredOff.has(host);
  }

  /** Returns whether a packet that is sent now arrives. */
  reaches(from: string, to: string): boolean {
    if (!this.hasPower(from) || !this.hasPower(to)) return false;
    return from === to || !this.#blocked.has(`${from}>${to}`);
  }

  /** Returns the delay of one segment, with retransmissions. */
  delayMs(from: string, to: string): number {
    if (from === to) return MIN_DELAY_MS * (1 + this.#rng.next());
    const lost = this.#rng.chance(LOSS) ? RETRANSMIT_MS : 0;
    return MIN_DELAY_MS + this.#rng.next() * USUAL_DELAY_MS + lost + this.#rng.next() * this.slownessMs;
  }

  /** Resets all connections of a host. Data in flight is lost. */
  reset(host: string): void {
    for (const listener of [...this.#onReset]) listener(host);
  }

  onReset(listener: (host: string) => void): () => void {
    this.#onReset.add(listener);
    return () => this.#onReset.delete(listener);
  }

  /** Calls once when a blocked direction may work again. */
  onHeal(run: () => void): void {
    this.#waiting.add(run);
  }

  #wake(): void {
    const woken = [...this.#waiting];
    this.#waiting.clear();
    for (const run of woken) run();
  }
}
