import type {
  ClusterEvent,
  ClusterUpdate,
  ClusterView,
  NodeView,
  ServiceView,
  SlotView,
  TaskView,
  WatchPosition,
} from "@berth/proto";

/** A watcher's copy of the view, as the documentation describes it. */
export class AppliedView {
  readonly nodes = new Map<string, NodeView>();
  readonly services = new Map<string, ServiceView>();
  readonly tasks = new Map<string, TaskView>();
  readonly slots = new Map<string, SlotView>();
  readonly events: ClusterEvent[] = [];
  cluster: ClusterView | undefined;
  position: WatchPosition | undefined;
  areEventsMissing = false;
  /** Whether no further part of a snapshot follows. */
  isComplete = false;

  apply(update: ClusterUpdate): void {
    if (update.isSnapshot) this.#clear();
    putAll(this.nodes, update.nodes, ({ id }) => id, update.removedNodes);
    putAll(this.services, update.services, ({ id }) => id, update.removedServices);
    putAll(this.tasks, update.tasks, ({ id }) => id, update.removedTasks);
    putAll(this.slots, update.slots, ({ key }) => key, update.removedSlots);
    this.events.push(...update.events);
    this.areEventsMissing ||= update.areEventsMissing;
    this.isComplete = !update.hasMore;
    this.cluster = update.cluster ?? this.cluster;
    this.position = update.position ?? this.position;
  }

  #clear(): void {
    for (const records of [this.nodes, this.services, this.tasks, this.slots]) records.clear();
  }
}

function putAll<T>(
  records: Map<string, T>,
  changed: readonly T[],
  keyOf: (record: T) => string,
  removed: readonly string[],
): void {
  for (const key of removed) records.delete(key);
  for (const record of changed) records.set(keyOf(record), record);
}
