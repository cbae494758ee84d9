import { assertNever, type BerthError } from "@berth/proto";
import type { Logger } from "pino";
import { type Clock, sleep } from "../runtime/clock.js";
import { notLeaderError } from "../runtime/leader-errors.js";
import type { ClusterState } from "../state/cluster-state.js";
import { applyEntries, logUnreadable } from "../state/state-sync.js";
import type { Compare, Entry, GetOp, OpResult, Store, TxnOutcome, TxnRequest } from "../store/store.js";
import type { EncodedChange } from "./transaction.js";

/** Pause between two attempts to read the result of a transaction whose response was lost. */
const READ_BACK_RETRY_MS = 250;

export interface CommitterOptions {
  readonly store: Store;
  readonly state: ClusterState;
  /** The comparison that fails once another server is the leader. */
  readonly fence: Compare;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly observer: { onTransaction(outcome: TxnOutcome["kind"], changeCount: number): void };
}

/** Commits the writer's transactions and keeps the state equal to the store after every outcome. */
export class Committer {
  readonly #options: CommitterOptions;

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  /**
   * Commits all changes or none of them. After `refused` and `unknown`, the state holds what the store holds.
   *
   * @throws BerthError BERTH_NOT_LEADER if the fence has failed
   */
  async commit(changes: readonly EncodedChange[], signal: AbortSignal): Promise<TxnOutcome["kind"]> {
    const { store, state, fence, observer } = this.#options;
    const outcome = await store.txn(buildTxn(changes, state, fence), signal);
    observer.onTransaction(outcome.kind, changes.length);
    switch (outcome.kind) {
      case "committed":
        state.apply(changes.map(({ change, key }) => ({ change, key, revision: outcome.revision })));
        break;
      case "refused": {
        const [leaderEntry, ...entries] = outcome.found;
        this.#requireLeader(leaderEntry);
        this.#applyEntries(changes, entries, outcome.revision);
        break;
      }
      case "unknown":
        await this.#readBack(changes, outcome.cause, signal);
        break;
      default:
        assertNever(outcome);
    }
    return outcome.kind;
  }

  #requireLeader(entry: Entry | undefined): void {
    const { fence } = this.#options;
    if (fence.kind !== "created-at" || entry?.createRevision === fence.revision) return;
    throw notLeaderError({ reason: "another server was elected" });
  }

  /** Reads the changed keys until etcd responds, because only they show whether the transaction was committed. */
  async #readBack(changes: readonly EncodedChange[], cause: BerthError, signal: AbortSignal): Promise<void> {
    const { store, clock, logger } = this.#options;
    logger.warn({ err: cause, changes: changes.length }, "write timed out; reading the records back");
    for (;;) {
      const outcome = await store.txn({ ops: readOps(changes) }, signal);
      if (outcome.kind === "committed") {
        this.#applyEntries(changes, outcome.results.map(resultEntry), outcome.revision);
        logger.info({ revision: String(outcome.revision) }, "etcd responds again");
        return;
      }
      await sleep(clock, READ_BACK_RETRY_MS, signal);
      signal.throwIfAborted();
    }
  }

  #applyEntries(
    changes: readonly EncodedChange[],
    entries: readonly (Entry | undefined)[],
    revision: bigint,
  ): void {
    const { state, logger } = this.#options;
    const read = new Map(changes.map(({ key }, index) => [key, entries[index]]));
    logUnreadable(applyEntries(state, read, revision), logger);
  }
}

/**
 * Builds a transaction that commits only while the fence holds and every key is as the state knows it. A refusal returns
 * the entry of the fence's key first, then those of the changes.
 */
function buildTxn(changes: readonly EncodedChange[], state: ClusterState, fence: Compare): TxnRequest {
  return {
    compare: [fence, ...changes.map(({ key }) => compareWithState(key, state))],
    ops: changes.map(({ op }) => op),
    otherwise: [{ kind: "get", key: fence.key }, ...readOps(changes)],
  };
}

/** Returns the comparison that fails if the key was changed after the state's last known revision. */
function compareWithState(key: string, state: ClusterState): Compare {
  const revision = state.revisions.get(key);
  return revision === undefined ? { kind: "absent", key } : { kind: "modified-at", key, revision };
}

function readOps(changes: readonly EncodedChange[]): readonly GetOp[] {
  return changes.map(({ key }) => ({ kind: "get", key }));
}

function resultEntry(result: OpResult): Entry | undefined {
  return result.kind === "get" ? result.entry : undefined;
}
