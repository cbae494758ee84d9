import { BerthError } from "@berth/proto";
import { onAbort } from "../runtime/abort.js";
import type { Clock } from "../runtime/clock.js";
import type { HeldLease } from "./held-lease.js";
import { untilGone } from "./observe-key.js";
import type { Compare, Store } from "./store.js";

/** One time of leading. */
export interface Term {
  readonly key: string;
  /** Create revision of the leader key: grows from term to term. */
  readonly epoch: bigint;
  /** Aborts at the latest when another could be elected, with the reason; whatever the term started must stop then. */
  readonly lost: AbortSignal;
  /** False as soon as another could have been elected, even when no timer could fire because the process stood still. */
  isHeld(): boolean;
  /** Ends the term and removes the leader key, so that the next takes over at once. */
  resign(): Promise<void>;
}

/** The comparison that a deposed leader's writes fail. */
export function fence(term: Pick<Term, "key" | "epoch">): Compare {
  return { kind: "created-at", key: term.key, revision: term.epoch };
}

export interface LeasedTermOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly key: string;
  readonly epoch: bigint;
  readonly lease: HeldLease;
}

/** A term that lasts as long as its lease is held and its key is there: others may remove the key to depose a leader they know dead. */
export function leasedTerm({ store, clock, key, epoch, lease }: LeasedTermOptions): Term {
  const ended = new AbortController();
  const end = (why: string): void => {
    const message = `The term ${epoch} as leader is over: ${why}.`;
    ended.abort(new BerthError({ code: "BERTH_NOT_LEADER", message, details: { epoch: String(epoch) } }));
  };
  onAbort(lease.lost, () => end("its lease was lost, given up or released"));
  untilGone({ store, clock, key, createRevision: epoch }, ended.signal).then(
    () => end("its key was removed"),
    (error: unknown) => end(`its key cannot be observed (${error})`),
  );
  return {
    key,
    epoch,
    lost: ended.signal,
    isHeld: () => !ended.signal.aborted && lease.isHeld(),
    resign: () => {
      end("it resigned");
      return lease.release();
    },
  };
}
