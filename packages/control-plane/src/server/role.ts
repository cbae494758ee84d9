import { BerthError } from "@berth/proto";
import { onAbort } from "../runtime/abort.js";
import type { Clock } from "../runtime/clock.js";
import type { Leadership } from "./leader.js";

/** Who answers a call. */
export type Target =
  | { readonly kind: "self"; readonly leadership: Leadership }
  | { readonly kind: "other"; readonly address: string };

/** What this server is to the cluster right now. */
export class Role {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();
  #leadership: Leadership | undefined;
  #leaderAddress: string | undefined;
  #isLeaderDoubtful = false;
  #ownAddress: string | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Where others reach this server. Known once it listens. */
  setOwnAddress(address: string): void {
    this.#ownAddress = address;
  }

  /** Set while this server leads and has all records. */
  get leadership(): Leadership | undefined {
    return this.#leadership;
  }

  /** Address of the server that leads as far as is known here. */
  get leaderAddress(): string | undefined {
    return this.#leaderAddress;
  }

  setLeadership(leadership: Leadership | undefined): void {
    this.#leadership = leadership;
    this.#changed();
  }

  setLeaderAddress(address: string | undefined): void {
    this.#leaderAddress = address;
    this.#isLeaderDoubtful = false;
    this.#changed();
  }

  /** While the leader seems to be gone, nobody is sent to it. */
  setLeaderSuspect(isDoubtful: boolean): void {
    this.#isLeaderDoubtful = isDoubtful;
    this.#changed();
  }

  /** Who answers now; undefined while there is no leader, it seems to be gone, or this server is about to be it. */
  get target(): Target | undefined {
    if (this.#leadership !== undefined) return { kind: "self", leadership: this.#leadership };
    const address = this.#leaderAddress;
    if (address === undefined || address === this.#ownAddress || this.#isLeaderDoubtful) return undefined;
    return { kind: "other", address };
  }

  /** Waits for somebody who answers. @throws BerthError BERTH_NO_LEADER after `timeoutMs`; the signal's reason */
  async waitForTarget(timeoutMs: number, signal: AbortSignal): Promise<Target> {
    const deadlineMs = this.#clock.nowMs() + timeoutMs;
    for (;;) {
      signal.throwIfAborted();
      if (this.target !== undefined) return this.target;
      const leftMs = deadlineMs - this.#clock.nowMs();
      if (leftMs <= 0) throw noLeader();
      await this.waitForChange(leftMs, signal);
    }
  }

  /** Resolves when the role or the leader changes, after `timeoutMs`, or when `signal` aborts. */
  waitForChange(timeoutMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        cancel();
        forget();
        resolve();
      };
      this.#waiting.add(wake);
      const cancel = this.#clock.after(timeoutMs, wake);
      const forget = onAbort(signal, wake);
    });
  }

  /** Calls `run` when the leader at this address is not whom calls are passed on to any more; returns what takes that back. */
  onDeparture(address: string, run: () => void): () => void {
    const check = (): void => {
      const { target } = this;
      if (target?.kind === "other" && target.address === address) return;
      this.#waiting.delete(check);
      run();
    };
    this.#waiting.add(check);
    return () => void this.#waiting.delete(check);
  }

  #changed(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}

export function noLeader(): BerthError {
  return new BerthError({
    code: "BERTH_NO_LEADER",
    message:
      "No server leads the cluster right now. Is etcd up, and are the other servers? Try again in a few seconds.",
  });
}
