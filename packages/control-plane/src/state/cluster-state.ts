import { type Change, changeKey, deletionOf } from "./change.js";
import { type Delta, DeltaBuilder } from "./delta.js";
import { KeyRevisions } from "./key-revisions.js";
import type { NetworkTable } from "./network-table.js";
import type { NodeTable } from "./node-table.js";
import type { ServiceTable } from "./service-table.js";
import { Tables } from "./tables.js";
import type { TaskTable } from "./task-table.js";

/** A change that is in the store, at the revision that wrote it. */
export interface Committed {
  readonly change: Change;
  readonly revision: bigint;
}

/** Reads and tentative writes of a draft, see `ClusterState.draft`. */
export interface Draft {
  write(changes: Iterable<Change>): void;
}

type Listener = (delta: Delta) => void;

/**
 * What the leader knows of the cluster: every record that is in the store, and nothing that is not.
 * Records are never changed in place. Listeners hear of each batch once it is complete.
 */
export class ClusterState {
  /** What transactions compare, for every key that has been seen. */
  readonly revisions = new KeyRevisions();
  readonly #tables = new Tables();
  readonly #listeners = new Set<Listener>();

  get services(): ServiceTable {
    return this.#tables.services;
  }

  get tasks(): TaskTable {
    return this.#tables.tasks;
  }

  get nodes(): NodeTable {
    return this.#tables.nodes;
  }

  get networks(): NetworkTable {
    return this.#tables.networks;
  }

  /** Id of the service that owns a name. */
  ownerOf(name: string): string | undefined {
    return this.#tables.ownerOf(name);
  }

  /** Takes over what has been committed. Anything older than what is known already is ignored. */
  apply(committed: Iterable<Committed>): void {
    const delta = new DeltaBuilder();
    for (const { change, revision } of committed) {
      const key = changeKey(change);
      const isDeletion = deletionOf(change) === change;
      if (!this.revisions.isNewer(key, revision)) continue;
      if (isDeletion) this.revisions.deleted(key, revision);
      else this.revisions.written(key, revision);
      this.#write(change, delta);
    }
    if (!delta.isEmpty) for (const listener of this.#listeners) listener(delta);
  }

  /**
   * Lets `decide` make tentative changes that later decisions of the same draft see, and takes them all back before
   * it returns. It runs without a pause, so nobody else ever sees them.
   */
  draft<T>(decide: (draft: Draft) => T): T {
    const undo: Change[] = [];
    const write = (changes: Iterable<Change>): void => {
      for (const change of changes) {
        const inverse = this.#tables.write(change);
        if (inverse !== undefined) undo.push(inverse);
      }
    };
    try {
      return decide({ write });
    } finally {
      for (const inverse of undo.reverse()) this.#tables.write(inverse);
    }
  }

  /** Calls `listener` after each batch that changed something; the returned function ends that. */
  onChange(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #write(change: Change, delta: DeltaBuilder): void {
    const undo = this.#tables.write(change);
    const subject = deletionOf(change);
    switch (subject.kind) {
      case "delete-task": {
        const before = undo?.kind === "put-task" ? undo.task : undefined;
        delta.task(subject.taskId, { before, after: this.tasks.get(subject.taskId) });
        return;
      }
      case "delete-node": {
        const before = undo?.kind === "put-node" ? undo.node : undefined;
        delta.node(subject.nodeId, { before, after: this.nodes.get(subject.nodeId) });
        return;
      }
      case "delete-service":
      case "delete-revision":
      case "delete-vip":
        delta.services.add(subject.serviceId);
        return;
      case "delete-network":
        delta.networks.add(subject.networkId);
        return;
      case "delete-range":
        delta.ranges.add(subject.networkId);
        return;
      default:
        return; // A name is a guard, nothing depends on it.
    }
  }
}
