import type { ContainerSpec, Mount, ShippedMount } from "@berth/proto";
import { containerRoot, type HostIds, taskIdProblem } from "./task-files.js";
import type { Assignment, TaskView } from "./task-view.js";

// Shipped mounts are files and directories that a client has sent to the nodes. The agent writes a separate copy for
// each task, so that tasks do not see each other's changes.

/** A copy of a shipped file or directory. */
export interface ShippedCopy {
  /** Name in the directory of the task. */
  readonly name: string;
  /** Digest of the archive. */
  readonly digest: string;
  /** The path on the client's machine, for messages. */
  readonly source: string;
}

/** The shipped mounts of one task. */
export interface TaskShippedMounts {
  readonly taskId: string;
  readonly mounts: readonly ShippedCopy[];
  /** The host's IDs of root in the container. */
  readonly ownerOffset: HostIds;
  /** Group of the host that may enter the directory of the task. 0 if only root may. */
  readonly directoryGid: number;
}

/** Returns why this host can never run the task because of its shipped mounts, or undefined if it can. */
export function shippedRefusal(
  { task, spec }: Pick<Assignment, "task" | "spec">,
  { node }: Pick<TaskView, "node">,
): string | undefined {
  if (copiesOf(spec.task?.container).length === 0) return undefined;
  if (node.isolation !== "") {
    return `shipped mounts need Docker on Linux as root: this node has ${node.isolation}`;
  }
  return taskIdProblem(task.id);
}

/** Returns the copies to write before the container is created or started, or undefined if there are none to write. */
export function shippedToWrite(
  { memory, node }: Pick<TaskView, "memory" | "node">,
  { task, spec }: Pick<Assignment, "task" | "spec">,
): TaskShippedMounts | undefined {
  const container = spec.task?.container;
  const mounts = copiesOf(container);
  if (mounts.length === 0 || memory.shipped === "written") return undefined;
  const directoryGid = node.containerRoot.gid;
  return { taskId: task.id, mounts, ownerOffset: containerRoot(container, node), directoryGid };
}

/** Returns the path of the copy that is mounted. */
export function copyPath(
  index: number,
  { taskId, directory }: { readonly taskId: string; readonly directory: string },
): string {
  return `${directory}/${taskId}/${copyName(index)}`;
}

function copiesOf(container: ContainerSpec | undefined): readonly ShippedCopy[] {
  return (container?.mounts ?? []).flatMap((mount, index) => {
    const shipped = shippedOf(mount);
    return shipped === undefined
      ? []
      : [{ name: copyName(index), digest: shipped.digest, source: shipped.source }];
  });
}

function shippedOf({ kind }: Mount): ShippedMount | undefined {
  return kind?.$case === "shipped" ? kind.value : undefined;
}

/** Returns the name of a copy. It has the index, because mounts of the same archive have separate copies. */
function copyName(index: number): string {
  return `mount-${index}`;
}
