import { computed, signal } from "@preact/signals";
import { type ChangedIds, ClusterStore, type TaskMove } from "../core/cluster/cluster-store.js";
import type { ClusterUpdate } from "../core/cluster/cluster-update.js";
import { EventLog, type ReceivedEvent } from "../core/cluster/event-log.js";
import { type Freshness, isCurrent as isFreshnessCurrent } from "../core/cluster/freshness.js";
import { ClusterHistory } from "../core/history/cluster-history.js";
import { ServiceColors } from "../core/map/service-colors.js";
import { replacementText, taskName } from "../core/model/task.js";
import { taskDisplay } from "../core/model/task-display.js";
import { type TrafficMessage, TrafficTotals } from "../core/traffic/traffic.js";

/** How often tables and lists are redrawn. The map is redrawn with each frame. */
const REDRAW_INTERVAL_MS = 250;
/** Number of moves that the web UI lists. */
const MAX_MOVES = 30;

/** A move for the list, which must not change when records are removed. */
export interface ListedMove {
  readonly taskId: string;
  /** When the web UI learned of it, by the leader's clock. */
  readonly atMs: number;
  /** "shop_web.3 moved from h2 to h3: its node was lost" */
  readonly text: string;
}

type ChangeListener = (changed: ChangedIds) => void;

/** The records of the cluster with everything that the views derive from them. */
class Cluster {
  readonly store = new ClusterStore();
  readonly history = new ClusterHistory();
  readonly colors = new ServiceColors();
  readonly traffic = new TrafficTotals();
  /** Grows when something changes, at most a few times a second. Views that read it are drawn again. */
  readonly revision = signal(0);
  readonly freshness = signal<Freshness>({ kind: "loading" });
  readonly isCurrent = computed(() => isFreshnessCurrent(this.freshness.value));
  /** Number of tasks that are known to run, by the ID of their service. */
  readonly runningTasks = computed(() => {
    void this.revision.value;
    return countRunning(this.store);
  });
  readonly moves = signal<readonly ListedMove[]>([]);
  /** Whether no leader has kept some events. */
  readonly areEventsMissing = signal(false);
  /** The time that the replay shows, by the leader's clock. Undefined while the web UI shows the present. */
  readonly replayAtMs = signal<number | undefined>(undefined);
  readonly #events = new EventLog();
  readonly #listeners = new Set<ChangeListener>();
  /** Leader's clock minus the browser's. */
  #clockOffsetMs = 0;
  #redraw: ReturnType<typeof setTimeout> | undefined;

  /** The received events, oldest first. */
  get events(): readonly ReceivedEvent[] {
    return this.#events.events;
  }

  /** The present time by the leader's clock. */
  now(): number {
    return Date.now() + this.#clockOffsetMs;
  }

  setLeaderTime(nowMs: number): void {
    this.#clockOffsetMs = nowMs - Date.now();
  }

  /** Sets how up to date the web UI is. The delay is not compared exactly: it changes with each message. */
  setFreshness(condition: Freshness): void {
    const known = this.freshness.value;
    const isSame =
      condition.kind === known.kind &&
      (condition.kind !== "cut-off" || (known.kind === "cut-off" && known.reason === condition.reason));
    if (!isSame || condition.kind === "behind") this.freshness.value = condition;
  }

  /** Calls the listener after each change of records, until the returned function is called. */
  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Applies an update. After a gap, the web UI needs a snapshot. */
  apply(update: ClusterUpdate): "applied" | "incomplete" | "gap" {
    if (update.areEventsMissing) this.areEventsMissing.value = true;
    const now = this.now();
    if (this.#events.add(update.events, now)) this.#scheduleRedraw();
    const result = this.store.apply(update);
    if (result.kind === "applied") this.#publish(result.changed, now);
    return result.kind === "duplicate" ? "applied" : result.kind;
  }

  addTraffic(message: TrafficMessage): void {
    this.traffic.add(message);
    this.#scheduleRedraw();
  }

  #publish(changed: ChangedIds, now: number): void {
    for (const id of changed.nodes) this.history.recordNode(id, this.store.nodes.get(id), now);
    for (const id of changed.tasks) this.history.recordTask(id, this.store.tasks.get(id), now);
    if (changed.services.size > 0) this.#followServices();
    if (changed.moves.length > 0) this.#listMoves(changed.moves, now);
    for (const listener of this.#listeners) listener(changed);
    this.#scheduleRedraw();
  }

  #followServices(): void {
    const names = new Set([...this.store.services.values()].map(({ name }) => name));
    this.colors.retain(names);
    this.colors.assignAll(names);
    this.traffic.retain(this.store.services);
  }

  #listMoves(moves: readonly TaskMove[], atMs: number): void {
    const { nodes, tasks } = this.store;
    const hostname = (id: string): string => nodes.get(id)?.hostname ?? id;
    const listed = moves.flatMap(({ taskId, fromNodeId, toNodeId }): readonly ListedMove[] => {
      const task = tasks.get(taskId);
      if (task?.replaces === undefined) return [];
      const reason = replacementText(task.replaces);
      const text = `${taskName(task)} moved from ${hostname(fromNodeId)} to ${hostname(toNodeId)}: ${reason}`;
      return [{ taskId, atMs, text }];
    });
    this.moves.value = [...listed.reverse(), ...this.moves.value].slice(0, MAX_MOVES);
  }

  #scheduleRedraw(): void {
    this.#redraw ??= setTimeout(() => {
      this.#redraw = undefined;
      this.revision.value += 1;
    }, REDRAW_INTERVAL_MS);
  }
}

function countRunning({ nodes, tasks }: ClusterStore): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const task of tasks.values()) {
    if (taskDisplay(task, nodes.get(task.nodeId), true) !== "running") continue;
    counts.set(task.serviceId, (counts.get(task.serviceId) ?? 0) + 1);
  }
  return counts;
}

export const cluster = new Cluster();
