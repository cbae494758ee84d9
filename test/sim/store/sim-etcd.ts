import { ROOT } from "../../../packages/control-plane/src/store/keys.js";
import type { TxnOutcome, TxnRequest, WatchEvent } from "../../../packages/control-plane/src/store/store.js";
import { MemoryStore } from "../../../packages/control-plane/src/testing/memory-store/memory-store.js";
import type { Network } from "../network/network.js";
import { Actor } from "../simulator/actor.js";
import type { Rng } from "../simulator/rng.js";

/** Small, so that a history sees compactions. */
const KEPT_REVISIONS = 200;

/** The host that etcd is on: reached over the network like any other. */
export const ETCD_HOST = "etcd";

export interface SimEtcdOptions {
  readonly network: Network;
  readonly rng: Rng;
  /** Every transaction that changed something, as it is committed. */
  readonly onCommit: (commit: Commit) => void;
}

export interface Commit {
  /** The server that asked for it; undefined: a lease ended. */
  readonly server: Actor | undefined;
  readonly request: TxnRequest | undefined;
  readonly revision: bigint;
  readonly events: readonly WatchEvent[];
}

/** etcd itself: one for the cluster. It forgets nothing but what is compacted. */
export class SimEtcd {
  readonly network: Network;
  readonly rng: Rng;
  readonly actor = new Actor("etcd", ETCD_HOST);
  readonly memory: MemoryStore;
  /** For requests that nobody gives up. This history's own: what listens to it goes with it. */
  readonly never = new AbortController().signal;
  readonly #onCommit: (commit: Commit) => void;
  /** How likely a transaction is to lose its answer, or its way there. */
  flakiness = 0;
  /** Ends the watches of all clients. */
  #watches = new AbortController();
  #revision = 1n;
  /** Whose request is being served: there is one at a time. */
  #serving: Pick<Commit, "server" | "request"> = NOBODY;

  constructor({ network, rng, onCommit }: SimEtcdOptions) {
    const { scheduler } = network;
    this.network = network;
    this.rng = rng;
    this.#onCommit = onCommit;
    const after = (delayMs: number, run: () => void): (() => void) => {
      return scheduler.after(delayMs, this.actor, () => {
        this.#serving = NOBODY;
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

  /** As when a client changes to another member: every watch ends and has to be opened anew. */
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
    this.#serving = NOBODY;
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

const NOBODY = { server: undefined, request: undefined };
