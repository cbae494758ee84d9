import {
  DesiredState,
  NodeState,
  type OwnerTask,
  sharesOnlyMounts,
  type Task,
  TaskState,
} from "@berth/proto";
import { type Action, taskAfter } from "../model/plan.js";
import { isInUse, type Slot, type SlotRef, slotKey, slotsByNode, slotsByNumber } from "../model/slots.js";
import type { ClusterSnapshot, NodeSnapshot, OwnerService, ServiceTasks } from "../model/snapshot.js";
import { isEnded, shouldRun, stateOf } from "../model/task-state.js";
import { WAITING_FOR } from "../scheduler/pending-reason.js";
import type { OwnerMatch } from "../scheduler/place-beside.js";
import { replicasOf } from "./desired-slots.js";
import { applyNodeLoss } from "./node-loss.js";

/** An owner with its tasks after node losses. */
interface Owner {
  readonly name: string;
  readonly slots: ReadonlyMap<string, Slot>;
  readonly tasks: ReadonlyMap<string, Task>;
  /** Whether a completed task suffices, because only its mounts are shared. */
  readonly mayHaveCompleted: boolean;
}

/**
 * The tasks of a companion's owners.
 *
 * The companion's task in slot n runs beside the newest task in slot n of each owner. When the owner task is replaced,
 * the companion's task follows it. When the owner task ends, the companion's task is stopped, because a container loses
 * a shared network namespace when the container that owns it ends.
 */
export class OwnerTasks {
  readonly #owners: readonly Owner[];
  readonly #nodes: ReadonlyMap<string, NodeSnapshot>;
  /** The first owner, which determines the slots of the service. Undefined if its record is unreadable or deleted. */
  readonly #lead: Owner | undefined;
  /** Desired number of tasks if the service is replicated: as many as its first owner. */
  readonly replicas: number;

  private constructor(companion: ServiceTasks, owners: readonly OwnerService[], context: OwnersContext) {
    this.#nodes = context.cluster.nodes;
    const ownerTasks = owners.flatMap(({ name, snapshot }) =>
      snapshot === undefined ? [] : [toOwner({ name, snapshot }, companion, context)],
    );
    const [lead] = owners;
    this.#owners = ownerTasks;
    this.#lead = ownerTasks.find(({ name }) => name === lead?.name);
    const { snapshot } = lead ?? {};
    this.replicas = snapshot === undefined ? 0 : replicasOf(snapshot.spec, snapshot.service.autoscale);
  }

  /** Returns the tasks of the owners of a service, or undefined for a service without owners. */
  static of(companion: ServiceTasks, context: OwnersContext): OwnerTasks | undefined {
    const { owners = [] } = companion;
    return owners.length === 0 ? undefined : new OwnerTasks(companion, owners, context);
  }

  /**
   * Returns the keys of the slots in which the first owner has tasks, except for slots on nodes that are down, or
   * undefined if the owner is unknown, so that the service keeps its slots.
   */
  get slotKeys(): ReadonlySet<string> | undefined {
    if (this.#lead === undefined) return undefined;
    const used = [...this.#lead.slots].filter(
      ([, slot]) => isInUse(slot) && (slot.nodeId === "" || this.#isReady(slot.nodeId)),
    );
    return new Set(used.map(([key]) => key));
  }

  /** Returns the tasks beside which the task of a slot must run now. */
  find(slot: SlotRef): OwnerMatch {
    const owners: OwnerTask[] = [];
    const nodeIds = new Set<string>();
    for (const owner of this.#owners) {
      const task = this.#currentTask(owner, slotKey(slot));
      if (task === undefined) {
        return { kind: "missing", reason: `${WAITING_FOR}${taskName(owner.name, slot)}` };
      }
      owners.push({ service: owner.name, taskId: task.id });
      nodeIds.add(task.nodeId);
    }
    const [nodeId, other] = nodeIds;
    if (nodeId === undefined) return { kind: "missing", reason: `${WAITING_FOR}its owner` };
    if (other === undefined) return { kind: "found", nodeId, owners };
    const names = this.#owners.map(({ name }) => taskName(name, slot)).join(" and ");
    return { kind: "missing", reason: `${WAITING_FOR}${names} to run on the same node` };
  }

  /** Returns whether a task runs beside the current tasks of its owners. True while they have none. */
  isFollowing(task: Task): boolean {
    const match = this.find({ number: task.slot, nodeId: task.slot === 0 ? task.nodeId : "" });
    if (match.kind === "missing") return true;
    return match.owners.every(({ taskId }) => task.owners.some((owner) => owner.taskId === taskId));
  }

  /** Returns whether one of the owner tasks beside which a task runs has ended or is stopping. */
  hasLostOwner(task: Task): boolean {
    return task.owners.some(({ service, taskId }) => {
      const owner = this.#owners.find(({ name }) => name === service);
      return owner !== undefined && !isUsable(owner.tasks.get(taskId), owner);
    });
  }

  #currentTask(owner: Owner, key: string): Task | undefined {
    const slot = owner.slots.get(key);
    const [completed] = slot?.ended ?? [];
    const candidates = [...(slot?.active ?? []), ...(isUsable(completed, owner) ? [completed] : [])];
    return candidates.find((task) => task !== undefined && this.#isReady(task.nodeId));
  }

  #isReady(nodeId: string): boolean {
    return this.#nodes.get(nodeId)?.node.state === NodeState.READY;
  }
}

interface OwnersContext {
  readonly cluster: Pick<ClusterSnapshot, "nodes">;
  readonly nowMs: number;
}

function toOwner(
  { name, snapshot }: { readonly name: string; readonly snapshot: ServiceTasks },
  companion: ServiceTasks,
  { cluster, nowMs }: OwnersContext,
): Owner {
  const { tasks } = applyNodeLoss(snapshot, cluster.nodes, nowMs);
  const slots = snapshot.spec.mode?.$case === "global" ? slotsByNode(tasks) : slotsByNumber(tasks);
  return {
    name,
    slots: new Map(slots.map((slot) => [slotKey(slot), slot])),
    tasks: new Map(tasks.map((task) => [task.id, task])),
    mayHaveCompleted: sharesOnlyMounts(companion.spec, name),
  };
}

function isUsable(task: Task | undefined, { mayHaveCompleted }: Owner): boolean {
  if (task === undefined || !shouldRun(task)) return false;
  return !isEnded(task) || (mayHaveCompleted && stateOf(task) === TaskState.COMPLETE);
}

function taskName(service: string, { number, nodeId }: SlotRef): string {
  return nodeId === "" ? `task ${service}.${number}` : `the task of ${service} on node ${nodeId}`;
}

/** The tasks of a service, and the actions that stop tasks whose owner task has ended. */
export interface OwnerLoss {
  readonly tasks: readonly Task[];
  readonly actions: readonly Action[];
}

const OWNER_ENDED = "a task beside which it runs has ended";

/** Stops the tasks whose owner task has ended. The rest of the plan sees them as stopping. */
export function applyOwnerLoss(
  tasks: readonly Task[],
  owners: OwnerTasks | undefined,
  nowMs: number,
): OwnerLoss {
  if (owners === undefined) return { tasks, actions: [] };
  const actions: Action[] = [];
  const after = tasks.map((task) => {
    if (!shouldRun(task) || isEnded(task) || !owners.hasLostOwner(task)) return task;
    const action = {
      kind: "set-desired-state",
      task,
      desired: DesiredState.SHUTDOWN,
      reason: OWNER_ENDED,
    } as const;
    actions.push(action);
    return taskAfter(action, nowMs) ?? task;
  });
  return { tasks: after, actions };
}
