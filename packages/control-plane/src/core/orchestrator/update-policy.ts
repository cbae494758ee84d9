import {
  assertNever,
  RestartPolicy_Condition as Condition,
  DEFAULT_STOP_GRACE_MS,
  UpdateConfig_FailureAction as FailureAction,
  UpdateConfig_Order as Order,
  PortSpec_Mode,
  type Service,
  type ServiceSpec,
  UpdateConfig,
} from "@berth/proto";
import { isRollback } from "../model/rollout.js";

/** Default number of slots that an update replaces at the same time, as in Docker. */
const DEFAULT_PARALLELISM = 1;
/**
 * Default time for which an updated task is monitored. Most programs with a wrong configuration exit within their first
 * seconds.
 */
const DEFAULT_MONITOR_MS = 5_000;
/** Default deadline for the progress of an update. Suffices to pull a large image over a slow connection. */
export const DEFAULT_PROGRESS_DEADLINE_MS = 300_000;

/** Response of the orchestrator to a failed rollout. */
export type FailureResponse = "pause" | "continue" | "rollback";

/** Settings for the replacement of a service's slots, with defaults filled in. */
export interface UpdatePolicy {
  /** Slots replaced at a time; Infinity for all. */
  readonly parallelism: number;
  /** Pause between two batches. */
  readonly delayMs: number;
  /** Whether the old task of a slot is stopped only after the new task is ready. */
  readonly startFirst: boolean;
  /**
   * Like `startFirst`, for the case that the owner of the task's network namespace is replaced too: the old and the new
   * task are then in different namespaces.
   */
  readonly startFirstWithOwner: boolean;
  readonly onFailure: FailureResponse;
  /** Time for which a new task must run before it counts as updated. */
  readonly monitorMs: number;
  /** Whether exit code 0 counts as success. */
  readonly mayComplete: boolean;
  /** Failure ratio to tolerate. */
  readonly maxFailureRatio: number;
  /** Time without progress after which slots fail. Infinity when there is no limit. */
  readonly progressDeadlineMs: number;
}

/** Returns the policy that applies now: `rollback_config` during a rollback if it is set, otherwise `update_config`. */
export function updatePolicy({ rollout }: Pick<Service, "rollout">, spec: ServiceSpec): UpdatePolicy {
  const isRollingBack = isRollback(rollout);
  const config = (isRollingBack ? spec.rollback : undefined) ?? spec.update ?? UpdateConfig.fromPartial({});
  const startFirstWithOwner = isStartFirst(config.order, spec);
  // Two tasks in one network namespace usually listen on the same ports.
  const startFirst = startFirstWithOwner && (config.order === Order.START_FIRST || !sharesNetwork(spec));
  const deadlineMs = config.progressDeadlineMs ?? DEFAULT_PROGRESS_DEADLINE_MS;
  // The deadline does not count the time that old tasks take to stop.
  const stopMs = startFirst ? 0 : (spec.task?.container?.stopGraceMs ?? DEFAULT_STOP_GRACE_MS);
  return {
    parallelism: zeroAsInfinity(config.parallelism ?? DEFAULT_PARALLELISM),
    delayMs: config.delayMs,
    startFirst,
    startFirstWithOwner,
    onFailure: failureResponse(config.failureAction, isRollingBack),
    monitorMs: config.monitorMs ?? DEFAULT_MONITOR_MS,
    mayComplete: (spec.task?.restart?.condition || Condition.ANY) !== Condition.ANY,
    maxFailureRatio: config.maxFailureRatio,
    progressDeadlineMs: zeroAsInfinity(deadlineMs) + stopMs,
  };
}

/**
 * Returns whether updates are start-first.
 *
 * Start-first leaves no gap, so it is the default unless two tasks of a slot would conflict. It is impossible for global
 * services with host ports, for services with static addresses, and for at-most-one services.
 */
function isStartFirst(order: Order, spec: ServiceSpec): boolean {
  const hasHostPorts = spec.ports.some(({ mode }) => mode === PortSpec_Mode.HOST);
  if (spec.atMostOne || hasStaticAddress(spec) || (hasHostPorts && spec.mode?.$case === "global")) {
    return false;
  }
  switch (order) {
    case Order.START_FIRST:
      return true;
    case Order.STOP_FIRST:
      return false;
    case Order.UNSPECIFIED: {
      // With a limit per node, there is often no node for an additional task.
      const isLimited = (spec.placement?.maxReplicasPerNode ?? 0) > 0;
      return !hasHostPorts && !isLimited && !writesToVolume(spec);
    }
    default:
      return assertNever(order);
  }
}

/** Returns whether the service has a static address, which only one task can have at a time. */
export function hasStaticAddress({ task }: ServiceSpec): boolean {
  return task?.networks.some(({ ipv4Address }) => ipv4Address !== "") === true;
}

function sharesNetwork({ task }: ServiceSpec): boolean {
  return (task?.container?.sharing?.network ?? "") !== "";
}

function writesToVolume({ task }: ServiceSpec): boolean {
  const mounts = task?.container?.mounts ?? [];
  return mounts.some(({ kind, readOnly }) => kind?.$case === "volume" && kind.value.name !== "" && !readOnly);
}

/** Returns the response to a failed rollout. A failed rollback pauses, because it cannot be rolled back. */
function failureResponse(action: FailureAction, isRollingBack: boolean): FailureResponse {
  switch (action) {
    case FailureAction.PAUSE:
      return "pause";
    case FailureAction.CONTINUE:
      return "continue";
    case FailureAction.UNSPECIFIED:
    case FailureAction.ROLLBACK:
      return isRollingBack ? "pause" : "rollback";
    default:
      return assertNever(action);
  }
}

function zeroAsInfinity(value: number): number {
  return value === 0 ? Number.POSITIVE_INFINITY : value;
}
