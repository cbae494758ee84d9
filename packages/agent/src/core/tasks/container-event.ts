import type { ContainerState } from "../docker/observed-container.js";
import { isTerminating } from "./signals.js";
import type { Step } from "./step.js";

/** Something happened to a container of ours. */
export interface ContainerEvent {
  readonly kind: "started" | "ended" | "health" | "removed" | "signalled" | "changed";
  readonly containerId: string;
  readonly taskId: string;
  /** Number or name of the signal of a `signalled`. */
  readonly unixSignal: string;
}

/** What the worker is doing about a task: a step, or a look at one of its containers. */
export type WorkKind = Step["kind"] | "look";

export interface WorkState {
  readonly inFlight: WorkKind | undefined;
  /** The container's state when it was last looked at. */
  readonly state: ContainerState | undefined;
}

/**
 * What an event means beside what is known. Steps look themselves at what they did, so the echo of our own doing is
 * ignored: that is what keeps a start at three requests.
 */
export function eventEffect(event: ContainerEvent, known: WorkState): "ignore" | "look" | "remember-signal" {
  const { inFlight, state } = known;
  switch (event.kind) {
    case "signalled": {
      const isOurs = inFlight === "stop" || inFlight === "remove";
      return isOurs || !isTerminating(event.unixSignal) ? "ignore" : "remember-signal";
    }
    case "started":
      return inFlight !== undefined || state === "running" ? "ignore" : "look";
    case "ended":
      return inFlight === "stop" ? "ignore" : "look";
    case "removed":
      return inFlight === "remove" || state === undefined ? "ignore" : "look";
    case "health":
    case "changed":
      return "look";
  }
}
