import type { ClusterUpdate, WatchClusterResponse, WatchPosition } from "@berth/proto";

/** Maximum number of kept updates: half a minute in a busy cluster, and a few megabytes. */
const MAX_UPDATES = 300;

/** Maximum number of records in the kept updates. */
const MAX_RECORDS = 20_000;

/** An update that is sent to all watchers. They get the same object, so that it is encoded once. */
export interface LoggedUpdate {
  /** The position after the update. */
  readonly position: WatchPosition;
  readonly response: WatchClusterResponse;
}

/** The latest updates of one leader, by sequence number. Watchers that are further behind need a snapshot. */
export class UpdateLog {
  readonly #updates: LoggedUpdate[] = [];
  readonly #recordCounts: number[] = [];
  #records = 0;

  /** Adds the next update. */
  add(update: ClusterUpdate, position: WatchPosition): void {
    this.#updates.push({ position, response: { message: { $case: "update", value: update } } });
    const records = countRecords(update);
    this.#recordCounts.push(records);
    this.#records += records;
    while (this.#updates.length > MAX_UPDATES || (this.#records > MAX_RECORDS && this.#updates.length > 1)) {
      this.#updates.shift();
      this.#records -= this.#recordCounts.shift() ?? 0;
    }
  }

  /** Returns the update with this number. Undefined when it is no longer kept, or does not exist yet. */
  get(sequence: number): LoggedUpdate | undefined {
    const [first] = this.#updates;
    return first === undefined ? undefined : this.#updates[sequence - first.position.sequence];
  }

  clear(): void {
    this.#updates.length = 0;
    this.#recordCounts.length = 0;
    this.#records = 0;
  }
}

function countRecords({ nodes, services, tasks, slots, events }: ClusterUpdate): number {
  return nodes.length + services.length + tasks.length + slots.length + events.length;
}
