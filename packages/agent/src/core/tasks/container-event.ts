import { assertNever } from "@berth/proto";
import type { ContainerState } from "../docker/observed-container.js";
import type { Step } from "./step.js";

/** An event of a container that this agent created. */
export interface ContainerEvent {
  readonly kind: "started" | "ended" | "health" | "removed" | "signaled" | "changed";
  readonly containerId: string;
  readonly taskId: string;
  /** Number or name of the signal. Empty unless the kind is `signaled`. */
  readonly unixSignal: string;
}

/** The work in flight for a task: a step, or an inspection of one of its containers. */
export type WorkKind = Step["kind"] | "inspect";

export interface WorkState {
  readonly inFlight: WorkKind | undefined;
  /** The container's state at the last inspection. */
  readonly state: ContainerState | undefined;
}

/** Signals with which users and tools end a container. Docker reports a signal by number or by name. */
const TERMINATING_SIGNALS: ReadonlySet<string> = new Set([
  "1",
  "2",
  "3",
  "9",
  "15",
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGKILL",
  "SIGTERM",
]);

/**
 * Returns how to react to an event. Steps inspect the container themselves, so events that a step causes are ignored:
 * this keeps the start of a container at three requests.
 */
export function eventEffect(
  event: ContainerEvent,
  { inFlight, state }: WorkState,
): "ignore" | "inspect" | "remember-signal" {
  switch (event.kind) {
    case "signaled": {
      const isOwn = inFlight === "stop" || inFlight === "remove";
      return isOwn || !TERMINATING_SIGNALS.has(event.unixSignal) ? "ignore" : "remember-signal";
    }
    case "started":
      return inFlight !== undefined || state === "running" ? "ignore" : "inspect";
    case "ended":
      return inFlight === "stop" ? "ignore" : "inspect";
    case "removed":
      return inFlight === "remove" || state === undefined ? "ignore" : "inspect";
    case "health":
    case "changed":
      return "inspect";
    default:
      return assertNever(event.kind);
  }
}
