import type { Actor } from "../simulator/actor.js";
import type { Network } from "./network.js";

/**
 * One direction of a connection, as TCP has it: everything arrives once and in order, or nothing more does. What cannot
 * get through waits and arrives after the network has healed.
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

  /** Runs at the other end, when it arrives. */
  send(arrive: () => void): void {
    if (this.#isCut) return;
    this.#queue.push(arrive);
    this.#move();
  }

  /** Since when something has been waiting for the network to heal. */
  get stuckSinceMs(): number | undefined {
    return this.#stuckSinceMs;
  }

  /** Nothing more arrives. */
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
