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
  readonly #entries: { readonly update: LoggedUpdate; readonly records: number }[] = [];
  /** Number of records in all kept updates. */
  #records = 0;

  /** Adds the next update. */
  add(update: ClusterUpdate, position: WatchPosition): void {
    const response: WatchClusterResponse = { message: { $case: "update", value: update } };
    const records = countRecords(update);
    this.#entries.push({ update: { position, response }, records });
    this.#records += records;
    while (this.#entries.length > MAX_UPDATES || (this.#records > MAX_RECORDS && this.#entries.length > 1)) {
      this.#records -= this.#entries.shift()?.records ?? 0;
    }
  }

  /** Returns the update with this number. Undefined when it is no longer kept, or does not exist yet. */
  get(sequence: number): LoggedUpdate | undefined {
    const [first] = this.#entries;
    return first && this.#entries[sequence - first.update.position.sequence]?.update;
  }

  clear(): void {
    this.#entries.length = 0;
    this.#records = 0;
  }
}

function countRecords({ nodes, services, tasks, slots, events }: ClusterUpdate): number {
  return nodes.length + services.length + tasks.length + slots.length + events.length;
}
