import { ROOT } from "../../../packages/control-plane/src/store/keys.js";
import type { TxnOutcome, TxnRequest, WatchEvent } from "../../../packages/control-plane/src/store/store.js";
import { MemoryStore } from "../../../packages/control-plane/src/testing/memory-store/memory-store.js";
import type { Network } from "../network/network.js";
import { Actor } from "../simulator/actor.js";
import type { Rng } from "../simulator/rng.js";

/** Number of revisions that are kept. Small, so that compactions occur. */
const KEPT_REVISIONS = 200;

/** The host of etcd, which is reached over the network. */
export const ETCD_HOST = "etcd";

export interface SimEtcdOptions {
  readonly network: Network;
  readonly rng: Rng;
  /** Called for every transaction that changed something. */
  readonly onCommit: (commit: Commit) => void;
}

export interface Commit {
  /** The server that sent the transaction. Undefined if a lease expired. */
  readonly server: Actor | undefined;
  readonly request: TxnRequest | undefined;
  readonly revision: bigint;
  readonly events: readonly WatchEvent[];
}

/** The etcd of the cluster, without members. */
export class SimEtcd {
  readonly network: Network;
  readonly rng: Rng;
  readonly actor = new Actor("etcd", ETCD_HOST);
  readonly memory: MemoryStore;
  /** A signal that never fires. Each simulation has its own, so that its listeners are collected with it. */
  readonly never = new AbortController().signal;
  readonly #onCommit: (commit: Commit) => void;
  /** Probability that a transaction or its answer is lost. */
  flakiness = 0;
  /** Ends the watches of all clients. */
  #watches = new AbortController();
  #revision = 1n;
  /** The request that is being served. There is one at a time. */
  #serving: Pick<Commit, "server" | "request"> = NO_REQUEST;

  constructor({ network, rng, onCommit }: SimEtcdOptions) {
    const { scheduler } = network;
    this.network = network;
    this.rng = rng;
    this.#onCommit = onCommit;
    const after = (delayMs: number, run: () => void): (() => void) => {
      return scheduler.after(delayMs, this.actor, () => {
        this.#serving = NO_REQUEST;
        run();
      });
    };
    this.memory = new MemoryStore({
      clock: { nowMs: () => scheduler.nowMs, after },
      keptRevisions: KEPT_REVISIONS,
    });
    scheduler.after(0, this.actor, () => void this.#tell());
  }

  get watches(): AbortSignal {
    return this.#watches.signal;
  }

  /** Ends every watch, as when clients connect to another member. */
  breakWatches(): void {
    this.#watches.abort();
    this.#watches = new AbortController();
  }

  compact(): void {
    this.memory.compact(this.#revision);
  }

  txn(server: Actor, request: TxnRequest): Promise<TxnOutcome> {
    this.#serving = { server, request };
    return this.memory.txn(request, this.never);
  }

  revoke(leaseId: string): Promise<void> {
    this.#serving = NO_REQUEST;
    return this.memory.leases.revoke(leaseId, this.never);
  }

  async #tell(): Promise<void> {
    for await (const message of this.memory.watch(
      { prefix: ROOT, fromRevision: this.#revision + 1n },
      this.never,
    )) {
      if (message.kind !== "events") throw new Error("the simulation lost sight of its store");
      this.#revision = message.nextRevision - 1n;
      this.#onCommit({ ...this.#serving, revision: this.#revision, events: message.events });
    }
  }
}

const NO_REQUEST = { server: undefined, request: undefined };
