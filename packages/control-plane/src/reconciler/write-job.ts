import { onAbort } from "../runtime/abort.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import { type EncodedChange, encodeChange } from "./transaction.js";

/** Changes that a decision wants, and what to answer once they are in the store. */
export interface Decision<T> {
  readonly changes: readonly Change[];
  readonly result: T;
}

/** Decides from the state as it is, and may be asked again after a conflict. Throws to refuse. */
export type Decide<T> = (state: ClusterState) => Decision<T>;

/** A decision that waits for its turn to be made and written. */
export interface WriteJob {
  /** Decides and keeps the answer for `settle`. */
  decide(state: ClusterState): readonly EncodedChange[];
  /** The changes are in the store. */
  settle(): void;
  fail(error: unknown): void;
  /** True when nobody waits for it any more. */
  isOver(): boolean;
  /** How often the store has refused it. */
  refusals: number;
}

/** A job and the promise of its result. The promise rejects with the reason of `signal` as soon as that aborts. */
export function writeJob<T>(
  decide: Decide<T>,
  signal: AbortSignal,
): { readonly job: WriteJob; readonly done: Promise<T> } {
  let over = false;
  let result: { readonly value: T } | undefined;
  let resolveDone: (value: T) => void = () => {};
  let rejectDone: (reason: unknown) => void = () => {};
  const done = new Promise<T>((resolve, reject) => {
    resolveDone = resolve;
    rejectDone = reject;
  });
  const end = (finish: () => void): void => {
    if (over) return;
    over = true;
    forget();
    finish();
  };
  const job: WriteJob = {
    refusals: 0,
    decide: (state) => {
      const decision = decide(state);
      result = { value: decision.result };
      return decision.changes.map(encodeChange);
    },
    settle: () => end(() => result && resolveDone(result.value)),
    fail: (error) => end(() => rejectDone(error)),
    isOver: () => over,
  };
  let forget = (): void => {};
  forget = onAbort(signal, () => job.fail(signal.reason));
  return { job, done };
}
