import {
  type Authority,
  type ClusterKeyState,
  DEFAULT_POLICY,
  type EtcdAuthorities,
  type JoinToken,
  type Policy,
  type Restore,
  Restore_State,
  type Server,
  type User,
} from "@berth/proto";
import { Emitter } from "../runtime/emitter.js";
import { AuditTable } from "./audit-table.js";
import { type Change, changeKey, isDeletion, writeChange } from "./change.js";
import { type Delta, DeltaBuilder } from "./delta.js";
import { FileTable } from "./file-table.js";
import { KeyRevisions } from "./key-revisions.js";
import { LoginTable } from "./login-table.js";
import { NetworkTable } from "./network-table.js";
import { NodeTable } from "./node-table.js";
import { CLUSTER_KEY_NAME, ETCD_AUTHORITIES_NAME, POLICY_NAME, RESTORE_NAME } from "./record-kinds.js";
import { ServiceTable } from "./service-table.js";
import type { Tables } from "./tables.js";
import { TaskTable } from "./task-table.js";

/** A change that is in the store, with the revision that wrote it. */
export interface Committed {
  readonly change: Change;
  readonly revision: bigint;
  /** The store key of the record. Computed when missing. */
  readonly key?: string;
}

/** Writes tentative changes, see `ClusterState.draft`. */
export interface Draft {
  write(changes: Iterable<Change>): void;
}

/**
 * The leader's copy of all records in the store. Records are never modified in place. Listeners are called once after
 * each batch of changes.
 */
export class ClusterState implements Tables {
  readonly services = new ServiceTable();
  readonly serviceNames = new Map<string, string>();
  readonly tasks = new TaskTable();
  readonly networks = new NetworkTable();
  readonly nodes = new NodeTable(this.networks);
  readonly files = new FileTable();
  readonly logins = new LoginTable();
  readonly audit = new AuditTable();
  readonly policies = new Map<string, Policy>();
  readonly authorities = new Map<string, Authority>();
  readonly clusterKeys = new Map<string, ClusterKeyState>();
  readonly etcdAuthorityRecords = new Map<string, EtcdAuthorities>();
  readonly joinTokens = new Map<string, JoinToken>();
  readonly users = new Map<string, User>();
  readonly servers = new Map<string, Server>();
  readonly restores = new Map<string, Restore>();
  /** The revisions of all known keys, which transactions compare. */
  readonly revisions = new KeyRevisions();
  readonly #changed: Emitter<Delta>;

  /**
   * `onListenerError` receives the errors of listeners. The records are in the store by then, so an error must neither
   * fail the write nor hide the change from the other listeners. Without it, the caller of `apply` gets the first error.
   */
  constructor(onListenerError?: (error: unknown) => void) {
    this.#changed = new Emitter(onListenerError);
  }

  /** Returns the ID of the service with this name. */
  serviceIdOf(name: string): string | undefined {
    return this.serviceNames.get(name);
  }

  /** The policy in force. */
  get policy(): Policy {
    return this.policies.get(POLICY_NAME) ?? DEFAULT_POLICY;
  }

  /** Which cluster key is in use. Undefined before its first rotation. */
  get clusterKey(): ClusterKeyState | undefined {
    return this.clusterKeys.get(CLUSTER_KEY_NAME);
  }

  /** The authorities of etcd. Undefined before their first rotation. */
  get etcdAuthorities(): EtcdAuthorities | undefined {
    return this.etcdAuthorityRecords.get(ETCD_AUTHORITIES_NAME);
  }

  /** The last restore from a backup. Undefined if there was none. */
  get restore(): Restore | undefined {
    return this.restores.get(RESTORE_NAME);
  }

  /** Whether a restore is waiting for nodes or for the removal of unknown tasks. */
  get isRestorePending(): boolean {
    return this.restore?.state === Restore_State.PENDING;
  }

  /** Applies committed changes. Ignores a change that is older than the last known change of its record. */
  apply(committed: Iterable<Committed>): void {
    // Nothing listens while a new leader loads all records.
    const delta = this.#changed.hasListeners ? new DeltaBuilder() : undefined;
    for (const { change, revision, key = changeKey(change) } of committed) {
      if (!this.revisions.isNewer(key, revision)) continue;
      if (isDeletion(change)) {
        this.revisions.recordDeletion(key, revision);
      } else {
        this.revisions.recordWrite(key, revision);
      }
      writeChange(this, change, delta);
      delta?.raiseRevision(revision);
    }
    if (delta?.isEmpty === false) this.#changed.emit(delta);
  }

  /**
   * Lets `decide` make tentative changes and undoes all of them before it returns. Later decisions of the same draft see
   * the changes. No other code sees them, since `decide` is synchronous.
   */
  draft<T>(decide: (draft: Draft) => T): T {
    const undo: Change[] = [];
    const write = (changes: Iterable<Change>): void => {
      for (const change of changes) {
        const inverse = writeChange(this, change);
        if (inverse !== undefined) undo.push(inverse);
      }
    };
    try {
      return decide({ write });
    } finally {
      for (const inverse of undo.reverse()) writeChange(this, inverse);
    }
  }

  /** Calls `listener` after each batch that changed something. The returned function removes the listener. */
  onChange(listener: (delta: Delta) => void): () => void {
    return this.#changed.on(listener);
  }
}
