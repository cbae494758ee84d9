import type { ClusterEvent, Node, Service, Task } from "@berth/proto";
import type { Logger } from "pino";
import { changeEvents } from "../../core/events/change-events.js";
import { clusterEvent } from "../../core/events/event.js";
import { linkSignals } from "../../runtime/abort.js";
import type { Clock } from "../../runtime/clock.js";
import { decodeEntry, type Put } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { RecordDiff } from "../../state/delta.js";
import { parseKey, ROOT } from "../../store/keys.js";
import type { Entry, Store, WatchEvent } from "../../store/store.js";

/**
 * Maximum number of changes in a replay. A watcher resumes seconds after the leader has died, so there are few changes.
 */
const MAX_CHANGES = 5_000;

/** Timeout of a replay. */
const TIMEOUT_MS = 2_000;

/** Maximum number of concurrent reads of earlier records. */
const CONCURRENT_READS = 16;

/** Maximum number of cached replays. All watchers of the dead leader resume at about the same revision. */
const MAX_KEPT = 16;

export interface EventReplayOptions {
  readonly store: Pick<Store, "range" | "watch">;
  readonly state: ClusterState;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly epoch: bigint;
  /** The revision that the state had when the term began. The event log has the events of all later changes. */
  readonly untilRevision: bigint;
}

type Replayed = readonly ClusterEvent[] | undefined;

/**
 * Derives the events of changes that were made before this leader's term, from the history that etcd keeps. Leaders
 * derive the same events from the same changes.
 */
export class EventReplay {
  readonly #options: EventReplayOptions;
  readonly #kept = new Map<bigint, Promise<Replayed>>();

  constructor(options: EventReplayOptions) {
    this.#options = options;
  }

  /**
   * Returns the events of all changes after `revision` and before the term, or undefined if etcd no longer has them
   * all.
   */
  async since(revision: bigint, signal: AbortSignal): Promise<Replayed> {
    const { untilRevision, logger } = this.#options;
    if (revision >= untilRevision) return [];
    let replayed = this.#kept.get(revision);
    if (replayed === undefined) {
      replayed = this.#replay(revision).catch((error: unknown) => {
        this.#kept.delete(revision);
        logger.warn({ err: error, revision: String(revision) }, "cannot replay events");
        return undefined;
      });
      this.#kept.set(revision, replayed);
      const [oldest] = this.#kept.keys();
      if (this.#kept.size > MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest);
    }
    const result = await replayed;
    signal.throwIfAborted();
    return result;
  }

  async #replay(after: bigint): Promise<Replayed> {
    const { clock, epoch, state } = this.#options;
    const limit = linkSignals();
    const cancel = clock.after(TIMEOUT_MS, () => limit.abort());
    try {
      const changes = await this.#readChanges(after, limit.signal);
      if (changes === undefined) return undefined;
      const before = await this.#readBefore(after, changes, limit.signal);
      if (before === undefined) return undefined;
      const nodeOf = (nodeId: string): Node | undefined => state.nodes.get(nodeId);
      return changesByRevision(changes, before).flatMap(({ revision, ...records }) =>
        changeEvents(records, { timeMs: "recorded", nodeOf }).map((event) =>
          clusterEvent(event, { epoch: Number(epoch), sequence: 0, revision }),
        ),
      );
    } finally {
      cancel();
    }
  }

  /** Reads all changes from etcd's history. Returns undefined if some were compacted, or there are too many. */
  async #readChanges(after: bigint, signal: AbortSignal): Promise<readonly WatchEvent[] | undefined> {
    const { store, untilRevision } = this.#options;
    const changes: WatchEvent[] = [];
    const stop = linkSignals(signal);
    try {
      for await (const message of store.watch({ prefix: ROOT, fromRevision: after + 1n }, stop.signal)) {
        if (message.kind !== "events") return undefined;
        changes.push(
          ...message.events.filter((event) => event.modRevision <= untilRevision && isSubject(event)),
        );
        if (changes.length > MAX_CHANGES) return undefined;
        if (message.nextRevision > untilRevision) return changes;
      }
      return undefined;
    } finally {
      stop.abort();
      stop.unlink();
    }
  }

  /** Reads the records as they were before the changes. Returns undefined if that revision was compacted. */
  async #readBefore(
    after: bigint,
    changes: readonly WatchEvent[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, Entry> | undefined> {
    const { store } = this.#options;
    const keys = [...new Set(changes.map(({ key }) => key))];
    const entries = new Map<string, Entry>();
    const readNext = async (): Promise<boolean> => {
      for (let key = keys.pop(); key !== undefined; key = keys.pop()) {
        for await (const page of store.range({ key, revision: after }, signal)) {
          if (page.kind === "compacted") return false;
          for (const entry of page.entries) entries.set(entry.key, entry);
        }
      }
      return true;
    };
    const results = await Promise.all(Array.from({ length: CONCURRENT_READS }, readNext));
    return results.every(Boolean) ? entries : undefined;
  }
}

/** Kinds of records whose changes are events. */
const WATCHED_SUBJECTS: ReadonlySet<string | undefined> = new Set(["nodes", "services", "tasks"]);

function isSubject({ key }: WatchEvent): boolean {
  return WATCHED_SUBJECTS.has(parseKey(key)?.collection);
}

/** The changes of one transaction. */
interface RevisionChanges {
  readonly revision: bigint;
  readonly nodes: RecordDiff<Node>[];
  readonly services: RecordDiff<Service>[];
  readonly tasks: RecordDiff<Task>[];
}

/** Groups changes by transaction, with the records before and after each change. */
function changesByRevision(
  changes: readonly WatchEvent[],
  before: ReadonlyMap<string, Entry>,
): readonly RevisionChanges[] {
  const current = new Map([...before].map(([key, entry]) => [key, decodePut(entry)] as const));
  const groups: RevisionChanges[] = [];
  for (const change of changes) {
    let group = groups.at(-1);
    if (group?.revision !== change.modRevision) {
      group = { revision: change.modRevision, nodes: [], services: [], tasks: [] };
      groups.push(group);
    }
    const earlier = current.get(change.key);
    const later = change.kind === "put" ? decodePut(change.entry) : undefined;
    current.set(change.key, later);
    addChange(group, earlier, later);
  }
  return groups;
}

function decodePut(entry: Entry): Put | undefined {
  const decoded = decodeEntry(entry);
  return decoded.kind === "put" ? decoded.put : undefined;
}

function addChange(
  { nodes, services, tasks }: RevisionChanges,
  before: Put | undefined,
  after: Put | undefined,
): void {
  switch ((after ?? before)?.kind) {
    case "put-node":
      nodes.push({ before: nodeOf(before), after: nodeOf(after) });
      return;
    case "put-service":
      services.push({ before: serviceOf(before), after: serviceOf(after) });
      return;
    case "put-task":
      tasks.push({ before: taskOf(before), after: taskOf(after) });
      return;
    default:
      return;
  }
}

function nodeOf(put: Put | undefined): Node | undefined {
  return put?.kind === "put-node" ? put.node : undefined;
}

function serviceOf(put: Put | undefined): Service | undefined {
  return put?.kind === "put-service" ? put.service : undefined;
}

function taskOf(put: Put | undefined): Task | undefined {
  return put?.kind === "put-task" ? put.task : undefined;
}
