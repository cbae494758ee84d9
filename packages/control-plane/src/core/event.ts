import type { ClusterEvent } from "@berth/proto";

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

/** What happened, before it has its place in the order of a term. */
export type Happening = Omit<ClusterEvent, "epoch" | "sequence" | "isRebuilt">;

export interface EventContext {
  /** Milliseconds since 1970: when it happened. */
  readonly timeMs: number;
  readonly hostnameOf: (nodeId: string) => string;
}

type Subject = Partial<
  Pick<Happening, "stack" | "serviceId" | "serviceName" | "taskId" | "slot" | "nodeId" | "nodeHostname">
>;

export function happening(
  reason: EventReason,
  message: string,
  { timeMs, ...subject }: Subject & { readonly timeMs: number },
): Happening {
  return {
    timeMs,
    reason,
    message,
    isWarning: WARNINGS.has(reason),
    stack: "",
    serviceId: "",
    serviceName: "",
    taskId: "",
    slot: 0,
    nodeId: "",
    nodeHostname: "",
    ...subject,
  };
}
