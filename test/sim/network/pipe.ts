import type { Actor } from "../simulator/actor.js";
import type { Network } from "./network.js";

/**
 * One direction of a TCP connection: data arrives once and in order until the connection breaks. Data that cannot be
 * delivered arrives when the network works again.
 */
export class Pipe {
  readonly #network: Network;
  readonly #from: string;
  readonly #to: Actor;
  readonly #queue: (() => void)[] = [];
  #isMoving = false;
  #isCut = false;
  #stuckSinceMs: number | undefined;

  constructor(network: Network, from: string, to: Actor) {
    this.#network = network;
    this.#from = from;
    this.#to = to;
  }

  /** Calls `arrive` in the receiving process when the data arrives. */
  send(arrive: () => void): void {
    if (this.#isCut) return;
    this.#queue.push(arrive);
    this.#move();
  }

  /** Since when data has been waiting for the network to work again. */
  get stuckSinceMs(): number | undefined {
    return this.#stuckSinceMs;
  }

  /** Drops all data in flight and all later data. */
  cut(): void {
    this.#isCut = true;
    this.#queue.length = 0;
  }

  #move(): void {
    if (this.#isMoving || this.#queue.length === 0 || this.#isCut) return;
    this.#isMoving = true;
    this.#try(this.#network.delayMs(this.#from, this.#to.host));
  }

  #try(delayMs: number): void {
    const { scheduler } = this.#network;
    scheduler.afterQuiet(delayMs, () => {
      if (this.#isCut) return;
      if (!this.#network.reaches(this.#from, this.#to.host)) {
        this.#stuckSinceMs ??= scheduler.nowMs;
        this.#network.onHeal(() => this.#try(this.#network.delayMs(this.#from, this.#to.host)));
        return;
      }
      this.#stuckSinceMs = undefined;
      this.#isMoving = false;
      const arrived = this.#queue.splice(0);
      scheduler.after(0, this.#to, () => {
        for (const arrive of arrived) arrive();
      });
    });
  }
}
