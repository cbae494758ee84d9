import type { AssignedSpec, AssignedTask, TaskStatus } from "@berth/proto";
import type { ObservedContainer } from "../docker/observed-container.js";
import type { NetworksView } from "../networks/task-networks.js";
import type { ResourcesView } from "./generic-resources.js";
import type { OwnerView } from "./owner-containers.js";
import type { PolicyView } from "./policy-refusal.js";
import type { FilesView, HostIds } from "./task-files.js";
import type { TaskMemory } from "./task-memory.js";

/** A task that the leader has assigned to this node, with its spec. */
export interface Assignment {
  readonly task: AssignedTask;
  readonly spec: AssignedSpec;
  readonly receivedAtMs: number;
}

/** All assignments of this node, or only the assignments that changed. */
export interface AssignmentChange {
  readonly isComplete: boolean;
  readonly assigned: readonly Assignment[];
  readonly removedTaskIds: readonly string[];
  /**
   * Whether to keep containers whose tasks are not in the last complete set. Undefined if the message does not say.
   */
  readonly keepsUnknown?: boolean | undefined;
}

/** The known state of an image on this host. */
export interface ImageFacts {
  readonly state: "unknown" | "absent" | "present";
  /** When the agent's last successful pull of the image began, or 0. */
  readonly pullBeganAtMs: number;
}

/** Facts about the node that do not change while the agent runs. */
export interface HostFacts {
  readonly nodeId: string;
  readonly hostname: string;
  /** The address at which other hosts reach the published ports of this host's containers. */
  readonly advertiseAddress: string;
}

/** Facts about the node that a container's configuration depends on. */
export interface NodeFacts extends HostFacts {
  /** The Engine API version agreed with the daemon, such as "1.41". */
  readonly engineApiVersion: string;
  /** "rootless Docker" or "Docker Desktop" when containers do not run directly on this host. Empty otherwise. */
  readonly isolation: string;
  /** The host's IDs of root in containers. Not 0 when Docker remaps users. */
  readonly containerRoot: HostIds;
}

/** All inputs of a decision about one task. */
export interface TaskView {
  readonly taskId: string;
  /** Undefined if the task is not, or no longer, assigned to this node. */
  readonly assignment: Assignment | undefined;
  /** The task's containers. More than one only after a creation whose response was lost. */
  readonly containers: readonly ObservedContainer[];
  /** The last decided status. Undefined before the first decision. */
  readonly status: TaskStatus | undefined;
  readonly memory: TaskMemory;
  readonly image: ImageFacts;
  readonly node: NodeFacts;
  readonly networks: NetworksView;
  readonly policy: PolicyView;
  readonly files: FilesView;
  readonly resources: ResourcesView;
  /** The tasks whose namespaces or mounts this task shares. */
  readonly owners: readonly OwnerView[];
  /** True if the node has had no contact with the leader for so long that at-most-one tasks must not run. */
  readonly isFenced: boolean;
}
