import type { AssignedSpec, Sharing } from "@berth/proto";
import type { HostConfigBody } from "../docker/create-body.js";
import { isAlive, type ObservedContainer } from "../docker/observed-container.js";
import { slotName } from "./task-names.js";
import type { Assignment, TaskView } from "./task-view.js";

// Decides when a companion's container can be created. It shares the namespaces or mounts of other tasks.

/** The owner of a companion task, as this host knows it. */
export interface OwnerView {
  /** Full name of the owner's service. */
  readonly service: string;
  readonly taskId: string;
  /** Undefined while the leader has not assigned the task to this host. */
  readonly assignment: Assignment | undefined;
  readonly container: ObservedContainer | undefined;
  /** Spec of the task whose network namespace the container uses, directly or through other tasks. */
  readonly networkSpec: AssignedSpec | undefined;
}

type OwnersView = Pick<TaskView, "assignment" | "owners" | "node">;

/** Returns why the container cannot be created or started yet, or "" if the containers of its owners are ready. */
export function ownerWait({ assignment, owners, node }: OwnersView): string {
  const sharing = assignment?.spec.task?.container?.sharing;
  if (sharing === undefined) return "";
  const namespaces = namespaceServices(sharing);
  for (const service of new Set([...namespaces, ...sharing.mounts.map((each) => each.service)])) {
    const owner = owners.find((each) => each.service === service);
    if (owner?.assignment === undefined) {
      return `waiting for service ${service}: its task is not assigned to this host yet`;
    }
    const name = `${service}.${slotName(owner.assignment.task, node.nodeId)}`;
    if (owner.container === undefined) return `waiting for task ${name}: it has no container yet`;
    const isNeededAlive = namespaces.includes(service);
    if (isNeededAlive && !isAlive(owner.container)) return `waiting for task ${name}: it is not running yet`;
  }
  return "";
}

/** Returns why this host never creates the container. The leader permits owners in the same stack only. */
export function ownerRefusal({ assignment, owners }: OwnersView): string | undefined {
  const stack = assignment?.task.stack;
  const foreign = owners.find(
    (owner) => owner.assignment !== undefined && owner.assignment.task.stack !== stack,
  );
  return foreign && `service ${foreign.service} belongs to another stack: its containers cannot be shared`;
}

/**
 * Returns why a running container must be stopped: its owner was restarted outside berth, so it has lost the shared
 * namespaces, or undefined if it can continue.
 */
export function ownerFailure(
  { assignment, owners }: OwnersView,
  container: ObservedContainer,
): string | undefined {
  const sharing = assignment?.spec.task?.container?.sharing;
  if (sharing === undefined || !isAlive(container)) return undefined;
  const namespaces = namespaceServices(sharing);
  const restarted = owners.find(
    (owner) =>
      namespaces.includes(owner.service) &&
      owner.container !== undefined &&
      isAlive(owner.container) &&
      owner.container.startedAt > container.startedAt,
  );
  return (
    restarted && `service ${restarted.service}, whose namespaces the task shares, was restarted outside berth`
  );
}

/**
 * Returns the settings with which a container shares namespaces and mounts of its owners' containers, which must exist.
 */
export function sharingConfig(sharing: Sharing, owners: readonly OwnerView[]): Partial<HostConfigBody> {
  const { network, pid, ipc, mounts } = sharing;
  const idOf = (service: string): string =>
    owners.find((owner) => owner.service === service)?.container?.id ?? "";
  return {
    ...(network === "" ? {} : { NetworkMode: `container:${idOf(network)}` }),
    ...(pid === "" ? {} : { PidMode: `container:${idOf(pid)}` }),
    ...(ipc === "" ? {} : { IpcMode: `container:${idOf(ipc)}` }),
    ...(mounts.length === 0
      ? {}
      : { VolumesFrom: mounts.map(({ service, readOnly }) => idOf(service) + (readOnly ? ":ro" : "")) }),
  };
}

/** Returns the services whose namespaces are shared. Their containers must be running. */
const namespaceServices = ({ network, pid, ipc }: Sharing): readonly string[] =>
  [network, pid, ipc].filter((service) => service !== "");
