import type { ClusterEvent, Node, Service, Task } from "@berth/proto";

/** Reasons of events. They are part of the API: a reason is never renamed or reused. */
export const EVENT_REASONS = [
  "LEADER_ELECTED",
  "NODE_JOINED",
  "NODE_READY",
  "NODE_SUSPECT",
  "NODE_CLEARED",
  "NODE_AGENT_AWAY",
  "NODE_DOWN",
  "NODE_AVAILABILITY",
  "NODE_PROBLEM",
  "NODE_REMOVED",
  "SERVICE_CREATED",
  "SERVICE_UPDATED",
  "SERVICE_REMOVING",
  "SERVICE_REMOVED",
  "SCALED",
  "CONNECTIONS_WAITING",
  "CONNECTIONS_RELEASED",
  "ROLLOUT_STARTED",
  "ROLLOUT_PAUSED",
  "ROLLOUT_COMPLETED",
  "ROLLBACK_STARTED",
  "ROLLBACK_PAUSED",
  "ROLLED_BACK",
  "JOB_STARTED",
  "JOB_COMPLETED",
  "JOB_FAILED",
  "TASK_WAITING",
  "TASK_UNPLACEABLE",
  "TASK_PLACED",
  "TASK_STARTED",
  "TASK_HEALTHY",
  "TASK_UNHEALTHY",
  "TASK_STOPPING",
  "TASK_STOPPED",
  "TASK_COMPLETED",
  "TASK_FAILED",
  "TASK_REJECTED",
  "TASK_LOST",
] as const;

export type EventReason = (typeof EVENT_REASONS)[number];

/** Reasons that are shown as warnings. */
const WARNING_REASONS: ReadonlySet<EventReason> = new Set<EventReason>([
  "NODE_SUSPECT",
  "NODE_AGENT_AWAY",
  "NODE_DOWN",
  "NODE_PROBLEM",
  "ROLLOUT_PAUSED",
  "ROLLBACK_STARTED",
  "ROLLBACK_PAUSED",
  "ROLLED_BACK",
  "JOB_FAILED",
  "CONNECTIONS_WAITING",
  "TASK_UNPLACEABLE",
  "TASK_UNHEALTHY",
  "TASK_FAILED",
  "TASK_REJECTED",
  "TASK_LOST",
]);

/**
 * One event, with the records at the time. The leader keeps events in this form, because most are never read. Records
 * are immutable, so references to them stay valid.
 */
export interface EventRecord {
  /** Time of the event, in ms since the epoch. */
  readonly timeMs: number;
  readonly reason: EventReason;
  /** Details for users. May be empty. */
  readonly message: string;
  readonly service?: Service;
  readonly task?: Task;
  /** The node of the task, or the node that the event is about. */
  readonly node?: Node | undefined;
}

/** The position of an event in the event log. */
export interface EventPosition {
  /** The leader's term. */
  readonly epoch: number;
  /** 0 when the event was reconstructed from records. */
  readonly sequence: number;
  /** Revision of the change of a record. 0 when the event has none, or it is not known. */
  readonly revision: bigint;
}

/** Returns an event in its wire format. */
export function clusterEvent(
  { timeMs, reason, message, service, task, node }: EventRecord,
  { epoch, sequence, revision }: EventPosition,
): ClusterEvent {
  const nodeId = task?.nodeId ?? node?.id ?? "";
  return {
    epoch,
    sequence,
    timeMs,
    reason,
    message,
    isWarning: WARNING_REASONS.has(reason),
    stack: task?.stack ?? service?.spec?.stack ?? "",
    serviceId: task?.serviceId ?? service?.id ?? "",
    serviceName: task?.serviceName ?? service?.spec?.name ?? "",
    taskId: task?.id ?? "",
    slot: task?.slot ?? 0,
    nodeId,
    nodeHostname: node?.description?.hostname || nodeId,
    isReconstructed: sequence === 0,
    errorCode: task?.status?.errorCode ?? "",
    revision: Number(revision),
  };
}
