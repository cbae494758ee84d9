import {
  PortSpec_Mode,
  PortSpec_Protocol,
  ServiceSpec,
  UpdateConfig_FailureAction,
  UpdateConfig_Order,
} from "@berth/proto";
import type { ServiceWish } from "../history/history.js";

export const STACK = "s";
const MIB = 1024 ** 2;
/** Short, so that a rollout and its failure fit into a history. */
const MONITOR_MS = 1_000;
const PROGRESS_DEADLINE_MS = 8_000;

const ORDERS = {
  default: UpdateConfig_Order.UNSPECIFIED,
  "stop-first": UpdateConfig_Order.STOP_FIRST,
  "start-first": UpdateConfig_Order.START_FIRST,
} as const;

const FAILURE_ACTIONS = {
  pause: UpdateConfig_FailureAction.PAUSE,
  continue: UpdateConfig_FailureAction.CONTINUE,
  rollback: UpdateConfig_FailureAction.ROLLBACK,
} as const;

export function fullName(service: string): string {
  return `${STACK}_${service}`;
}

/** The wish in the words of the API. */
export function specOf(wish: ServiceWish): ServiceSpec {
  const reservations = { memoryBytes: wish.memoryMib * MIB };
  return ServiceSpec.fromPartial({
    name: fullName(wish.name),
    stack: STACK,
    mode:
      wish.replicas === undefined
        ? { $case: "global", value: {} }
        : { $case: "replicated", value: { replicas: wish.replicas } },
    task: {
      container: {
        image: wish.image,
        stopGraceMs: wish.stopGraceMs,
        ...(wish.hasHealthcheck
          ? { healthcheck: { test: ["CMD", "true"], intervalMs: 500, timeoutMs: 500, retries: 1 } }
          : {}),
      },
      ...(wish.memoryMib > 0 ? { reservations } : {}),
    },
    update: {
      parallelism: wish.parallelism,
      order: ORDERS[wish.order],
      failureAction: FAILURE_ACTIONS[wish.failureAction],
      monitorMs: MONITOR_MS,
      progressDeadlineMs: PROGRESS_DEADLINE_MS,
    },
    ports: portsOf(wish),
    atMostOne: wish.isAtMostOne,
  });
}

function portsOf({ ingressPort, hostPort }: ServiceWish): ServiceSpec["ports"] {
  const base = { protocol: PortSpec_Protocol.TCP, target: 80, hostIp: "" };
  return [
    ...(ingressPort > 0 ? [{ ...base, published: ingressPort, mode: PortSpec_Mode.INGRESS }] : []),
    ...(hostPort > 0 ? [{ ...base, target: 81, published: hostPort, mode: PortSpec_Mode.HOST }] : []),
  ];
}
