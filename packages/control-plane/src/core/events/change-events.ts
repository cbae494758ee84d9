import type { Node } from "@berth/proto";
import type { EventRecord } from "./event.js";
import { type NodeChange, nodeEvents } from "./node-events.js";
import { type ServiceChange, serviceEvents } from "./service-events.js";
import { type TaskChange, taskEvents } from "./task-events.js";

/** The changed records of one transaction. */
export interface RecordChanges {
  readonly nodes: Iterable<NodeChange>;
  readonly services: Iterable<ServiceChange>;
  readonly tasks: Iterable<TaskChange>;
}

export interface ChangeEventsContext {
  /**
   * Time of the change, in ms since the epoch. "recorded" stands for the times in the records, which are close to it.
   */
  readonly timeMs: number | "recorded";
  readonly nodeOf: (nodeId: string) => Node | undefined;
}

/** Returns the events of a transaction. All leaders derive the same events, in the same order, from a transaction. */
export function changeEvents(
  { nodes, services, tasks }: RecordChanges,
  { timeMs, nodeOf }: ChangeEventsContext,
): readonly EventRecord[] {
  const events: EventRecord[] = [];
  const timeOf = (recordedMs: number | undefined): number =>
    timeMs === "recorded" ? (recordedMs ?? 0) : timeMs;
  for (const change of nodes) {
    const { stateSinceMs } = change.after ?? change.before ?? {};
    events.push(...nodeEvents(change, timeOf(stateSinceMs)));
  }
  for (const change of services) {
    const { updatedAtMs } = change.after ?? change.before ?? {};
    events.push(...serviceEvents(change, timeOf(updatedAtMs)));
  }
  for (const change of tasks) {
    const { status, createdAtMs } = change.after ?? change.before ?? {};
    events.push(...taskEvents(change, { timeMs: timeOf(status?.sinceMs || createdAtMs), nodeOf }));
  }
  return events;
}
