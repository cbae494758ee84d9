import type { AssignedSpec, AssignedTask, TaskStatus } from "@berth/proto";
import type { ObservedContainer } from "../docker/observed-container.js";
import type { NetworksView } from "../networks/networks-view.js";
import type { NodeFacts } from "./node-facts.js";
import type { PortProbe } from "./readiness.js";

/** A task that the leader wants on this node, and what it runs. */
export interface Assignment {
  readonly task: AssignedTask;
  readonly spec: AssignedSpec;
  readonly receivedAtMs: number;
}

/** What the leader wants of this node: all of it, or what changed. */
export interface AssignmentChange {
  readonly isComplete: boolean;
  readonly assigned: readonly Assignment[];
  readonly removedTaskIds: readonly string[];
}

/** What is known of an image on this host. */
export interface ImageFacts {
  readonly state: "unknown" | "absent" | "present";
  /** When the last successful pull of it began; 0: never since the agent started. */
  readonly pullBeganAtMs: number;
}

/** What Docker does not remember of a task's past. */
export interface TaskMemory {
  /** The container that the task has or had; empty: none so far. */
  readonly containerId: string;
  /** 0: it is not unhealthy. */
  readonly unhealthySinceMs: number;
  /** Why berth itself stops a task that should run. */
  readonly failing: string;
  /** The signal that somebody other than berth sent to the container. */
  readonly externalSignal: string;
  /** Docker has been away since the container was last seen alive: how it ended, nobody saw. */
  readonly wasUnobserved: boolean;
  /**
   * The container's first process, which this host has seen end, though Docker still has it running: it may be busy
   * with its end, or be gone itself. 0: none.
   */
  readonly endedProcessId: number;
  /** Why the node can never run the task. */
  readonly rejection: string;
  readonly retry: Retry | undefined;
  /** How much of the image has come, in percent; undefined: not known. */
  readonly pulledPercent: number | undefined;
  /** Of a container without a healthcheck whose ports others are to be sent to; undefined: not tried yet. */
  readonly portProbe: PortProbe | undefined;
}

/** A step failed for a reason that may pass. */
export interface Retry {
  readonly attempts: number;
  readonly notBeforeMs: number;
  readonly reason: string;
}

/** Everything that a decision about one task depends on. */
export interface TaskView {
  readonly taskId: string;
  /** Undefined: the leader does not want the task here, now or any more. */
  readonly assignment: Assignment | undefined;
  /** All containers with the task's label. More than one only if somebody copied a label. */
  readonly containers: readonly ObservedContainer[];
  /** The last status decided; undefined before the first. */
  readonly status: TaskStatus | undefined;
  readonly memory: TaskMemory;
  readonly image: ImageFacts;
  readonly node: NodeFacts;
  readonly networks: NetworksView;
  /** The leader has been out of reach for so long that at-most-one tasks must not run here. */
  readonly isFenced: boolean;
}

export const BLANK_MEMORY: TaskMemory = {
  containerId: "",
  unhealthySinceMs: 0,
  failing: "",
  externalSignal: "",
  wasUnobserved: false,
  endedProcessId: 0,
  rejection: "",
  retry: undefined,
  pulledPercent: undefined,
  portProbe: undefined,
};
