import {
  RestartPolicy_Condition as Condition,
  UpdateConfig_FailureAction as FailureAction,
  UpdateConfig_Order as Order,
  type Service,
  type ServiceSpec,
  UpdateConfig,
} from "@berth/proto";
import { isRollback } from "../model/rollout.js";
import { isHostMode } from "../scheduler/resource-request.js";

const DEFAULT_PARALLELISM = 1;
/** Most programs that cannot run as they were told end within their first seconds. */
const DEFAULT_MONITOR_MS = 5_000;
/** Enough to pull a large image over a slow line; less than people wait before they look for the reason themselves. */
export const DEFAULT_PROGRESS_DEADLINE_MS = 300_000;
/** Docker's own time between the stop signal and the kill. */
const DEFAULT_STOP_GRACE_MS = 10_000;

/** How slots are replaced now, with everything that the spec leaves open filled in. */
export interface UpdatePolicy {
  /** Slots replaced at once; Infinity for all. */
  readonly parallelism: number;
  readonly delayMs: number;
  /** A slot's new task runs before its old one is stopped. */
  readonly startFirst: boolean;
  readonly onFailure: "pause" | "continue" | "rollback";
  readonly monitorMs: number;
  /** A task that ends with exit code 0 has done its work. */
  readonly mayComplete: boolean;
  readonly maxFailureRatio: number;
  /** Infinity: none. */
  readonly progressDeadlineMs: number;
}

/** The policy of what a service does now: its `rollback_config` while it goes back, its `update_config` otherwise. */
export function policyOf({ rollout }: Pick<Service, "rollout">, spec: ServiceSpec): UpdatePolicy {
  const goesBack = isRollback(rollout);
  const config = (goesBack ? spec.rollback : undefined) ?? spec.update ?? UpdateConfig.fromPartial({});
  const startFirst = startsFirst(config.order, spec);
  const deadlineMs = config.progressDeadlineMs ?? DEFAULT_PROGRESS_DEADLINE_MS;
  // Waiting for old tasks to stop is not what the deadline is to catch.
  const stopMs = startFirst ? 0 : (spec.task?.container?.stopGraceMs ?? DEFAULT_STOP_GRACE_MS);
  return {
    parallelism: orInfinity(config.parallelism ?? DEFAULT_PARALLELISM),
    delayMs: config.delayMs,
    startFirst,
    onFailure: goesBack ? afterFailedRollback(config) : afterFailedUpdate(config),
    monitorMs: config.monitorMs ?? DEFAULT_MONITOR_MS,
    mayComplete: (spec.task?.restart?.condition || Condition.ANY) !== Condition.ANY,
    maxFailureRatio: config.maxFailureRatio,
    progressDeadlineMs: orInfinity(deadlineMs) + stopMs,
  };
}

/**
 * Start-first serves without a gap, so it is what happens where nobody chose: but not where two copies at a time get
 * into each other's way. Some cannot be told to: a node has each host port once, and at-most-one is a promise.
 */
function startsFirst(asked: Order, spec: ServiceSpec): boolean {
  const hasHostPorts = spec.ports.some(isHostMode);
  // An address of its own is had by one container at a time.
  const hasAddress = spec.task?.networks.some(({ ipv4Address }) => ipv4Address !== "");
  if (spec.atMostOne || hasAddress || (hasHostPorts && spec.mode?.$case === "global")) return false;
  if (asked !== Order.UNSPECIFIED) return asked === Order.START_FIRST;
  // Where nodes take only so many replicas, there is often no room for one more.
  const isLimited = (spec.placement?.maxReplicasPerNode ?? 0) > 0;
  return !hasHostPorts && !isLimited && !writesToVolume(spec);
}

function writesToVolume({ task }: ServiceSpec): boolean {
  const mounts = task?.container?.mounts ?? [];
  return mounts.some(({ kind, readOnly }) => kind?.$case === "volume" && kind.value.name !== "" && !readOnly);
}

function afterFailedUpdate({ failureAction }: UpdateConfig): UpdatePolicy["onFailure"] {
  if (failureAction === FailureAction.PAUSE) return "pause";
  return failureAction === FailureAction.CONTINUE ? "continue" : "rollback";
}

/** There is nothing to go back to from there. */
const afterFailedRollback = ({ failureAction }: UpdateConfig): UpdatePolicy["onFailure"] =>
  failureAction === FailureAction.CONTINUE ? "continue" : "pause";

const orInfinity = (value: number): number => (value === 0 ? Number.POSITIVE_INFINITY : value);
