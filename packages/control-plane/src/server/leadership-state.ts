import type { ControlServiceService, DispatcherServiceService } from "@berth/proto";
import type { RpcHandlers } from "@berth/proto/rpc";
import type { AuditLog } from "../api/audit/audit-log.js";
import type { LeaderMetrics } from "../http/metrics.js";
import { onAbort } from "../runtime/abort.js";
import type { Clock } from "../runtime/clock.js";
import { noLeaderError } from "../runtime/leader-errors.js";
import type { Members } from "./access-rules.js";

/** The components of a leader that the server's listeners call. They exist only during one term. */
export interface LeaderComponents {
  readonly control: RpcHandlers<typeof ControlServiceService>;
  readonly dispatcher: RpcHandlers<typeof DispatcherServiceService>;
  readonly metrics: LeaderMetrics;
  readonly members: Members;
  readonly audit: Pick<AuditLog, "recordRefused">;
}

/** Destination of calls: this process, or the server at `address`. */
export type Route =
  | { readonly kind: "local"; readonly leader: LeaderComponents }
  | { readonly kind: "remote"; readonly address: string };

/**
 * Whether this server leads, and where calls go. The election updates this state, and the routers of both RPC services
 * read it:
 *
 * | state     | holds the leader key | loaded the records | control calls             | agents                    |
 * |-----------|----------------------|--------------------|---------------------------|---------------------------|
 * | follower  | no                   | no                 | forwarded to the leader   | referred to the leader    |
 * | elected   | yes                  | not yet            | wait until it is loaded   | wait until it is loaded   |
 * | leader    | yes                  | yes                | executed here             | served here               |
 *
 * While no leader is known, or the known one seems dead, calls wait for the next one.
 */
export class LeadershipState {
  readonly #clock: Clock;
  readonly #leadershipProblem: () => string | undefined;
  readonly #listeners = new Set<() => void>();
  #leader: LeaderComponents | undefined;
  #leaderAddress: string | undefined;
  #isLeaderSuspect = false;
  #ownAddress: string | undefined;

  /** @param leadershipProblem returns why this server cannot lead, for callers that time out */
  constructor(clock: Clock, leadershipProblem: () => string | undefined = () => undefined) {
    this.#clock = clock;
    this.#leadershipProblem = leadershipProblem;
  }

  /** The leader's components while this server is the leader and has loaded all records. */
  get leader(): LeaderComponents | undefined {
    return this.#leader;
  }

  get isLeader(): boolean {
    return this.#leader !== undefined;
  }

  /** Address in the leader key when this server last read it. */
  get leaderAddress(): string | undefined {
    return this.#leaderAddress;
  }

  /**
   * Current destination of calls. Undefined while there is no leader, the leader seems dead, or this server is loading
   * records.
   */
  get route(): Route | undefined {
    if (this.#leader !== undefined) return { kind: "local", leader: this.#leader };
    const address = this.#leaderAddress;
    if (address === undefined || address === this.#ownAddress || this.#isLeaderSuspect) return undefined;
    return { kind: "remote", address };
  }

  /** Sets the advertised address of this server, which is known once it listens. */
  setOwnAddress(address: string): void {
    this.#ownAddress = address;
  }

  /** Sets the leader's components when a term begins on this server, or clears them (undefined) when it ends. */
  setLeader(leader: LeaderComponents | undefined): void {
    this.#leader = leader;
    this.#notifyListeners();
  }

  /** Sets the address in the leader key. A new leader is not suspect. */
  setLeaderAddress(address: string | undefined): void {
    this.#leaderAddress = address;
    this.#isLeaderSuspect = false;
    this.#notifyListeners();
  }

  /** Sets whether the leader seems dead. A suspect leader gets no calls. */
  setLeaderSuspect(isSuspect: boolean): void {
    this.#isLeaderSuspect = isSuspect;
    this.#notifyListeners();
  }

  /**
   * Waits for a route.
   *
   * @throws BerthError BERTH_NO_LEADER after `timeoutMs`; the signal's reason when it aborts
   */
  async waitForRoute(timeoutMs: number, signal: AbortSignal): Promise<Route> {
    const deadlineMs = this.#clock.nowMs() + timeoutMs;
    for (;;) {
      signal.throwIfAborted();
      const { route } = this;
      if (route !== undefined) return route;
      const leftMs = deadlineMs - this.#clock.nowMs();
      if (leftMs <= 0) throw noLeaderError(this.#leadershipProblem());
      await this.#waitForChange(leftMs, signal);
    }
  }

  /** Resolves when this state changes, after `timeoutMs`, or when `signal` is aborted. It must not be aborted yet. */
  #waitForChange(timeoutMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#listeners.delete(wake);
        cancel();
        removeListener();
        resolve();
      };
      this.#listeners.add(wake);
      const cancel = this.#clock.after(timeoutMs, wake);
      const removeListener = onAbort(signal, wake);
    });
  }

  /** Calls `run` once when calls are no longer routed to `address`. The returned function removes the listener. */
  onRouteLost(address: string, run: () => void): () => void {
    const listener = (): void => {
      const { route } = this;
      if (route?.kind === "remote" && route.address === address) return;
      this.#listeners.delete(listener);
      run();
    };
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Calls `listener` when this server becomes the leader, and when the leader removes a node or user. The returned
   * function removes the listener.
   */
  onMembersChange(listener: () => void): () => void {
    let unsubscribe = (): void => {};
    let leader: LeaderComponents | undefined;
    const follow = (): void => {
      if (this.#leader === leader) return;
      leader = this.#leader;
      unsubscribe();
      unsubscribe = leader?.members.onRemoved(listener) ?? (() => {});
      if (leader !== undefined) listener();
    };
    this.#listeners.add(follow);
    follow();
    return () => {
      this.#listeners.delete(follow);
      unsubscribe();
    };
  }

  #notifyListeners(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
