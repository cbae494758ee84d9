import type { Node } from "./node.js";
import { isEnded, type Task } from "./task.js";

/** How the web UI shows a task: each has a color, a shape and a text. */
export type TaskDisplay =
  | "waiting"
  | "starting"
  | "running"
  | "unhealthy"
  | "stopping"
  | "unknown"
  | "complete"
  | "failed"
  | "stopped"
  | "lost";

const TEXTS: Readonly<Record<TaskDisplay, string>> = {
  waiting: "waiting for a node",
  starting: "starting",
  running: "running",
  unhealthy: "unhealthy",
  stopping: "stopping",
  unknown: "not known",
  complete: "complete",
  failed: "failed",
  stopped: "stopped",
  lost: "lost",
};

/** A character with a shape of its own for each state, for those who cannot tell colors apart. */
const SYMBOLS: Readonly<Record<TaskDisplay, string>> = {
  waiting: "…",
  starting: "◐",
  running: "●",
  unhealthy: "!",
  stopping: "◌",
  unknown: "?",
  complete: "✓",
  failed: "✕",
  stopped: "■",
  lost: "∅",
};

/**
 * Returns how a task is shown.
 *
 * @param node the task's node, if it has one
 * @param isCurrent whether the web UI is up to date. Otherwise, it does not know what runs.
 */
export function taskDisplay(task: Task, node: Node | undefined, isCurrent: boolean): TaskDisplay {
  switch (task.state) {
    case "complete":
      return "complete";
    case "failed":
    case "rejected":
      return "failed";
    case "shutdown":
      return "stopped";
    case "lost":
      return "lost";
    case "new":
      return "waiting";
    case undefined:
      return "unknown";
    default:
      if (!isCurrent || node === undefined || !isReporting(node) || task.health === "unknown") {
        return "unknown";
      }
      if (task.desiredState !== "running") return "stopping";
      if (task.state !== "running") return "starting";
      return task.health === "unhealthy" ? "unhealthy" : "running";
  }
}

/** Returns whether the node's agent reports the states of its tasks. */
function isReporting(node: Node): boolean {
  return node.state === "ready" && !node.agentUnreachable && !node.isSuspect;
}

export function taskDisplayText(display: TaskDisplay): string {
  return TEXTS[display];
}

export function taskDisplaySymbol(display: TaskDisplay): string {
  return SYMBOLS[display];
}

/** Returns whether the map has a cell for the task. A task that was stopped for good or is complete has none. */
export function isOnMap(task: Task): boolean {
  return !isEnded(task) || (task.desiredState === "running" && task.state !== "complete");
}
