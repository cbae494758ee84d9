import {
  assertNever,
  RestartPolicy_Condition as Condition,
  UpdateConfig_FailureAction as FailureAction,
  UpdateConfig_Order as Order,
  PortSpec_Mode,
  type Service,
  type ServiceSpec,
  UpdateConfig,
} from "@berth/proto";
import { isRollback } from "../model/rollout.js";

const DEFAULT_PARALLELISM = 1;
/** Most programs with a wrong configuration exit within their first seconds. */
const DEFAULT_MONITOR_MS = 5_000;
/** Enough to pull a large image over a slow line, and less than people wait before they look for the cause. */
export const DEFAULT_PROGRESS_DEADLINE_MS = 300_000;
/** Docker's default time between the stop signal and the kill. */
const DEFAULT_STOP_GRACE_MS = 10_000;

export type FailureResponse = "pause" | "continue" | "rollback";

/** How the slots of a service are replaced, with defaults filled in. */
export interface UpdatePolicy {
  /** Slots replaced at a time; Infinity for all. */
  readonly parallelism: number;
  readonly delayMs: number;
  /** Whether a slot's new task is ready before its old one is stopped. */
  readonly startFirst: boolean;
  readonly onFailure: FailureResponse;
  readonly monitorMs: number;
  /** Whether exit code 0 counts as success. */
  readonly mayComplete: boolean;
  /** Failure ratio to tolerate. */
  readonly maxFailureRatio: number;
  /** Infinity when there is none. */
  readonly progressDeadlineMs: number;
}

/** Returns the policy in force: `rollback_config` during a rollback, `update_config` otherwise. */
export function updatePolicy({ rollout }: Pick<Service, "rollout">, spec: ServiceSpec): UpdatePolicy {
  const isRollingBack = isRollback(rollout);
  const config = (isRollingBack ? spec.rollback : undefined) ?? spec.update ?? UpdateConfig.fromPartial({});
  const startFirst = startsFirst(config.order, spec);
  const deadlineMs = config.progressDeadlineMs ?? DEFAULT_PROGRESS_DEADLINE_MS;
  // The deadline does not count the time that old tasks take to stop.
  const stopMs = startFirst ? 0 : (spec.task?.container?.stopGraceMs ?? DEFAULT_STOP_GRACE_MS);
  return {
    parallelism: zeroAsInfinity(config.parallelism ?? DEFAULT_PARALLELISM),
    delayMs: config.delayMs,
    startFirst,
    onFailure: failureResponse(config.failureAction, isRollingBack),
    monitorMs: config.monitorMs ?? DEFAULT_MONITOR_MS,
    mayComplete: (spec.task?.restart?.condition || Condition.ANY) !== Condition.ANY,
    maxFailureRatio: config.maxFailureRatio,
    progressDeadlineMs: zeroAsInfinity(deadlineMs) + stopMs,
  };
}

/**
 * Start-first updates without a gap, so it is the default, except where two tasks of a slot would conflict. Some
 * services cannot choose it: a host port exists once per node, a static address once, and at-most-one is a guarantee.
 */
function startsFirst(order: Order, spec: ServiceSpec): boolean {
  const hasHostPorts = spec.ports.some(({ mode }) => mode === PortSpec_Mode.HOST);
  const hasStaticAddress = spec.task?.networks.some(({ ipv4Address }) => ipv4Address !== "");
  if (spec.atMostOne || hasStaticAddress || (hasHostPorts && spec.mode?.$case === "global")) return false;
  switch (order) {
    case Order.START_FIRST:
      return true;
    case Order.STOP_FIRST:
      return false;
    case Order.UNSPECIFIED: {
      // With a limit per node there is often no room for one more.
      const isLimited = (spec.placement?.maxReplicasPerNode ?? 0) > 0;
      return !hasHostPorts && !isLimited && !writesToVolume(spec);
    }
    default:
      return assertNever(order);
  }
}

function writesToVolume({ task }: ServiceSpec): boolean {
  const mounts = task?.container?.mounts ?? [];
  return mounts.some(({ kind, readOnly }) => kind?.$case === "volume" && kind.value.name !== "" && !readOnly);
}

/** A failed rollback cannot be rolled back: it pauses instead. */
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

const zeroAsInfinity = (value: number): number => (value === 0 ? Number.POSITIVE_INFINITY : value);
