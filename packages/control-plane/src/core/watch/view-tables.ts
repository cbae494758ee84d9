import {
  ClusterUpdate,
  ClusterView,
  NodeView,
  ServiceView,
  SlotView,
  TaskView,
  type WatchPosition,
} from "@berth/proto";
import { ViewTable } from "./view-table.js";

/** Number of records in one part of a snapshot. Encoding a part takes a few milliseconds. */
const PART_RECORDS = 2_000;

const CLUSTER_KEY = "";

/** Content of an update, besides its position and its events. */
export type ViewContent = Omit<
  ClusterUpdate,
  "position" | "isSnapshot" | "hasMore" | "nowMs" | "events" | "areEventsMissing"
>;

/** The view of the whole cluster, from which updates are derived. */
export class ViewTables {
  readonly nodes = new ViewTable<NodeView>((view) => NodeView.encode(view).finish());
  readonly services = new ViewTable<ServiceView>((view) => ServiceView.encode(view).finish());
  readonly tasks = new ViewTable<TaskView>((view) => TaskView.encode(view).finish());
  readonly slots = new ViewTable<SlotView>((view) => SlotView.encode(view).finish());
  readonly #cluster = new ViewTable<ClusterView>((view) => ClusterView.encode(view).finish());

  setCluster(view: ClusterView): void {
    this.#cluster.put(CLUSTER_KEY, view);
  }

  /** Returns the changes since the last call. Undefined when there are none. */
  takeChanges(): ViewContent | undefined {
    const nodes = this.nodes.takeChanges();
    const services = this.services.takeChanges();
    const tasks = this.tasks.takeChanges();
    const slots = this.slots.takeChanges();
    const [cluster] = this.#cluster.takeChanges().changed;
    const lists = [nodes, services, tasks, slots].flatMap(({ changed, removed }) => [changed, removed]);
    if (cluster === undefined && lists.every((list) => list.length === 0)) return undefined;
    return {
      cluster,
      nodes: [...nodes.changed],
      removedNodes: [...nodes.removed],
      services: [...services.changed],
      removedServices: [...services.removed],
      tasks: [...tasks.changed],
      removedTasks: [...tasks.removed],
      slots: [...slots.changed],
      removedSlots: [...slots.removed],
    };
  }

  /** Returns the parts of a snapshot without position and events. All of them have `hasMore`. */
  snapshotParts(nowMs: number): readonly ClusterUpdate[] {
    const first = update({
      isSnapshot: true,
      nowMs,
      cluster: this.#cluster.get(CLUSTER_KEY),
      nodes: [...this.nodes.values()],
      services: [...this.services.values()],
    });
    const tasks = chunks(this.tasks.values()).map((part) => update({ nowMs, tasks: part }));
    const slots = chunks(this.slots.values()).map((part) => update({ nowMs, slots: part }));
    return [first, ...tasks, ...slots];
  }
}

/** Returns the update that completes a snapshot, or one without content. */
export function finalPart(
  position: WatchPosition,
  nowMs: number,
  { events = [], areEventsMissing = false }: Partial<Pick<ClusterUpdate, "events" | "areEventsMissing">> = {},
): ClusterUpdate {
  return { ...update({ nowMs, hasMore: false }), position, events, areEventsMissing };
}

function update(fields: Partial<ClusterUpdate>): ClusterUpdate {
  return { ...ClusterUpdate.fromPartial({ hasMore: true }), ...fields };
}

function chunks<T>(items: readonly T[]): T[][] {
  const count = Math.ceil(items.length / PART_RECORDS);
  return Array.from({ length: count }, (_, index) =>
    items.slice(index * PART_RECORDS, (index + 1) * PART_RECORDS),
  );
}
