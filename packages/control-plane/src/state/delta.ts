import type { AuditRecord, Node, Task } from "@berth/proto";

/** A record before and after a change. Each is undefined if the record did not exist then. */
export interface RecordDiff<T> {
  readonly before: T | undefined;
  readonly after: T | undefined;
}

/** The effect of one batch of changes. */
export interface Delta {
  /** The highest revision of the changes. */
  readonly revision: bigint;
  /** IDs of services whose record, spec, tasks or virtual IPs changed. */
  readonly services: ReadonlySet<string>;
  readonly tasks: ReadonlyMap<string, RecordDiff<Task>>;
  readonly nodes: ReadonlyMap<string, RecordDiff<Node>>;
  /** IDs of networks whose record changed. */
  readonly networks: ReadonlySet<string>;
  /** IDs of networks in which a node's range changed. */
  readonly ranges: ReadonlySet<string>;
  /** Records of the audit log by sequence number. */
  readonly audit: ReadonlyMap<number, RecordDiff<AuditRecord>>;
  /** Keys of registry logins that changed, see `loginKey`. */
  readonly registryLogins: ReadonlySet<string>;
  readonly areFilesChanged: boolean;
  readonly isPolicyChanged: boolean;
  /** Whether a user or a server was removed. */
  readonly isIdentityRevoked: boolean;
  readonly areAuthoritiesChanged: boolean;
  readonly areEtcdAuthoritiesChanged: boolean;
  readonly areServersChanged: boolean;
  readonly isClusterKeyChanged: boolean;
  readonly isRestoreChanged: boolean;
}

/** Builds a delta. Merges several changes of one record: the first `before` and the last `after` remain. */
export class DeltaBuilder implements Delta {
  revision = 0n;
  readonly services = new Set<string>();
  readonly tasks = new Map<string, RecordDiff<Task>>();
  readonly nodes = new Map<string, RecordDiff<Node>>();
  readonly networks = new Set<string>();
  readonly ranges = new Set<string>();
  readonly audit = new Map<number, RecordDiff<AuditRecord>>();
  readonly registryLogins = new Set<string>();
  areFilesChanged = false;
  isPolicyChanged = false;
  isIdentityRevoked = false;
  areAuthoritiesChanged = false;
  areEtcdAuthoritiesChanged = false;
  areServersChanged = false;
  isClusterKeyChanged = false;
  isRestoreChanged = false;

  /** Whether the batch has changed nothing. A change of a task also marks its service. */
  get isEmpty(): boolean {
    const { services, nodes, networks, ranges, audit, registryLogins } = this;
    const hasRecords = [services, nodes, networks, ranges, audit, registryLogins].some(
      ({ size }) => size > 0,
    );
    const flags = [
      this.areFilesChanged,
      this.isPolicyChanged,
      this.isIdentityRevoked,
      this.areAuthoritiesChanged,
      this.areEtcdAuthoritiesChanged,
      this.areServersChanged,
      this.isClusterKeyChanged,
      this.isRestoreChanged,
    ];
    return !hasRecords && !flags.includes(true);
  }

  raiseRevision(revision: bigint): void {
    if (revision > this.revision) this.revision = revision;
  }

  markFilesChanged(): void {
    this.areFilesChanged = true;
  }

  markPolicyChanged(): void {
    this.isPolicyChanged = true;
  }

  markIdentityRevoked(): void {
    this.isIdentityRevoked = true;
  }

  markAuthoritiesChanged(): void {
    this.areAuthoritiesChanged = true;
  }

  markEtcdAuthoritiesChanged(): void {
    this.areEtcdAuthoritiesChanged = true;
  }

  markServersChanged(): void {
    this.areServersChanged = true;
  }

  markClusterKeyChanged(): void {
    this.isClusterKeyChanged = true;
  }

  markRestoreChanged(): void {
    this.isRestoreChanged = true;
  }

  addTask(taskId: string, diff: RecordDiff<Task>): void {
    merge(this.tasks, taskId, diff);
    const serviceId = diff.after?.serviceId ?? diff.before?.serviceId;
    if (serviceId !== undefined) this.services.add(serviceId);
  }

  addNode(nodeId: string, diff: RecordDiff<Node>): void {
    merge(this.nodes, nodeId, diff);
  }

  addAudit(sequence: number, diff: RecordDiff<AuditRecord>): void {
    merge(this.audit, sequence, diff);
  }
}

function merge<Id, T>(diffs: Map<Id, RecordDiff<T>>, id: Id, diff: RecordDiff<T>): void {
  const earlier = diffs.get(id);
  diffs.set(id, earlier === undefined ? diff : { before: earlier.before, after: diff.after });
}
