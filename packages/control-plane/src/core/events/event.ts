import type { ClusterEvent, Node, Service, Task } from "@berth/proto";

/** Every reason that an event can have. Codes are stable: they are never renamed or reused. */
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

/** Something that is not as it should be. */
const WARNINGS: ReadonlySet<EventReason> = new Set<EventReason>([
  "NODE_SUSPECT",
  "NODE_AGENT_AWAY",
  "NODE_DOWN",
  "NODE_PROBLEM",
  "ROLLOUT_PAUSED",
  "ROLLBACK_STARTED",
  "ROLLBACK_PAUSED",
  "ROLLED_BACK",
  "JOB_FAILED",
  "TASK_UNPLACEABLE",
  "TASK_UNHEALTHY",
  "TASK_FAILED",
  "TASK_REJECTED",
  "TASK_LOST",
]);

/**
 * What happened, to the records as they were then. Kept small, since most events are never read: a record is not
 * changed, so that naming it costs nothing.
 */
export interface Happening {
  /** Milliseconds since 1970. */
  readonly timeMs: number;
  readonly reason: EventReason;
  /** For a person; may be empty. */
  readonly message: string;
  readonly service?: Service;
  readonly task?: Task;
  /** Of a task: where it is. */
  readonly node?: Node | undefined;
}

/** Its place among the events of a term. */
export interface EventPlace {
  readonly epoch: number;
  /** 0: before the term. */
  readonly sequence: number;
}

/** An event as it is told. */
export function clusterEvent(
  { timeMs, reason, message, service, task, node }: Happening,
  { epoch, sequence }: EventPlace,
): ClusterEvent {
  const nodeId = task?.nodeId ?? node?.id ?? "";
  return {
    epoch,
    sequence,
    timeMs,
    reason,
    message,
    isWarning: WARNINGS.has(reason),
    stack: task?.stack ?? service?.spec?.stack ?? "",
    serviceId: task?.serviceId ?? service?.id ?? "",
    serviceName: task?.serviceName ?? service?.spec?.name ?? "",
    taskId: task?.id ?? "",
    slot: task?.slot ?? 0,
    nodeId,
    nodeHostname: node?.description?.hostname || nodeId,
    isReconstructed: sequence === 0,
  };
}
