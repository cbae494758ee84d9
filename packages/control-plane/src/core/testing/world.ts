import {
  type Availability,
  DesiredState,
  Health,
  type Node,
  NodeState,
  Service,
  type ServiceSpec,
  Task,
  TaskState,
} from "@berth/proto";
import type { Action, Plan } from "../model/plan.js";
import { taskAfter } from "../model/plan.js";
import type { ClusterSnapshot, ServiceSnapshot } from "../model/snapshot.js";
import { applyReport } from "../model/task-report.js";
import { isDisconnected, isEnded, isPending, stateOf } from "../model/task-state.js";
import { applySpec } from "../orchestrator/apply-spec.js";
import { findSpecsInUse } from "../orchestrator/specs-in-use.js";
import { reconcile } from "../reconcile.js";
import { occupiesNode } from "../scheduler/resource-request.js";
import { buildCluster, buildNode, buildService, buildSnapshot, idSequence } from "./records.js";

/** Number of plans after which `settle` fails. */
const MAX_ROUNDS = 10;

/** Number of agent steps after which `settleOverTime` fails. */
const MAX_STEPS = 400;

/**
 * A simulated cluster for property tests: one service, some nodes, and agents that advance on request.
 *
 * `settle` reconciles with the real planner and applies its actions to the records in memory.
 */
export class World {
  readonly nodes = new Map<string, Node>();
  readonly tasks = new Map<string, Task>();
  /** IDs of tasks that were disconnected. A task that returns may run beside its replacement for a while. */
  readonly wereDisconnected = new Set<string>();
  /** The spec of every version. */
  readonly revisions = new Map<number, ServiceSpec>();
  readonly #newId = idSequence("t");
  readonly #observe: (action: Action, world: World) => void;
  service: Service;
  spec: ServiceSpec;
  nowMs = 1_000_000;
  isRemoved = false;
  /** When the last plan is due again. */
  dueMs: number | undefined;

  constructor(options: {
    readonly spec: ServiceSpec;
    readonly nodes: readonly Node[];
    /** Called with each action before it is applied. */
    readonly observe?: (action: Action, world: World) => void;
  }) {
    this.spec = options.spec;
    this.service = buildService({ spec: options.spec, healthyVersion: 0 });
    this.revisions.set(1, options.spec);
    this.#observe = options.observe ?? (() => undefined);
    for (const node of options.nodes) this.nodes.set(node.id, node);
  }

  get snapshot(): ServiceSnapshot {
    const { service, spec, revisions } = this;
    return buildSnapshot({ service, spec, tasks: [...this.tasks.values()], revisions });
  }

  get cluster(): ClusterSnapshot {
    return buildCluster([...this.nodes.values()], [this.snapshot]);
  }

  /** Returns the next plan without applying it. */
  plan(): Plan {
    return reconcile(this.snapshot, this.cluster, {
      nowMs: this.nowMs,
      newId: this.#newId,
      leaderSinceMs: 0,
      holdReason: "",
    });
  }

  /** Reconciles until the plan is empty. Throws when that never happens. */
  settle(): void {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      if (this.isRemoved) return;
      const plan = this.plan();
      for (const action of plan.actions) this.#apply(action);
      this.dueMs = plan.requeueAtMs;
      if (plan.actions.length === 0) return;
    }
    throw new Error("the plan did not become empty");
  }

  #apply(action: Action): void {
    this.#observe(action, this);
    if (action.kind === "mark-disconnected") this.wereDisconnected.add(action.task.id);
    if (action.kind === "remove-service") {
      this.isRemoved = true;
      return;
    }
    if (
      action.kind === "update-service" ||
      action.kind === "roll-back-service" ||
      action.kind === "restart-service"
    ) {
      this.#setService(action.service);
      return;
    }
    const after = taskAfter(action, this.nowMs);
    if (after === undefined) {
      this.tasks.delete(action.task.id);
    } else {
      this.tasks.set(after.id, after);
    }
  }

  /** Changes the spec as an early release did, without a record of the rollout. */
  change(spec: ServiceSpec, { template }: { readonly template: boolean }): void {
    const version = this.service.version + 1;
    const templateVersion = template ? version : this.service.templateVersion;
    this.#setService({ ...this.service, spec, version, templateVersion });
  }

  /** Applies a spec as the leader does. */
  deploy(spec: ServiceSpec, rollbackMessage?: string): void {
    const specsInUse = findSpecsInUse(this.tasks.values(), (version) => this.revisions.get(version));
    const context = {
      id: this.service.id,
      nowMs: this.nowMs,
      specsInUse,
      ...(rollbackMessage ? { rollbackMessage } : {}),
    };
    this.#setService(applySpec(this.service, spec, context).service);
  }

  /** Replaces the leader: only the encoded records survive. */
  changeLeader(): void {
    this.#setService(Service.fromJSON(Service.toJSON(this.service)));
    for (const [id, task] of this.tasks) this.tasks.set(id, Task.fromJSON(Task.toJSON(task)));
    this.dueMs = undefined;
  }

  #setService(service: Service): void {
    this.service = service;
    if (service.spec === undefined) return;
    this.spec = service.spec;
    this.revisions.set(service.version, service.spec);
  }

  /** Changes a node's record as its operator or the leader would. */
  setNode(id: string, change: { availability?: Availability; state?: NodeState; fenced?: boolean }): void {
    const node = this.nodes.get(id);
    if (node === undefined) return;
    const hasNewState = change.state !== undefined && change.state !== node.state;
    const stateFields = hasNewState ? { stateSinceMs: this.nowMs, fenced: false } : {};
    this.nodes.set(id, { ...node, ...stateFields, ...change });
  }

  /** Advances a task by one step of its agent. `fails` ends it with an error. */
  advance(taskId: string, { fails }: { readonly fails: boolean }): void {
    const task = this.tasks.get(taskId);
    if (task === undefined || isPending(task)) return;
    if (this.nodes.get(task.nodeId)?.state !== NodeState.READY) return;
    const removed = task.desiredState === DesiredState.REMOVE;
    const image = this.revisions.get(task.specVersion)?.task?.container?.image ?? "";
    const state = nextState(task, { fails, image }) ?? (isDisconnected(task) ? stateOf(task) : undefined);
    if (state === undefined && !removed) return;
    const health = image.startsWith("healthy") ? Health.HEALTHY : Health.UNSPECIFIED;
    const status = {
      state: state ?? TaskState.SHUTDOWN,
      message: "",
      sinceMs: 0,
      containerId: "c",
      health,
      ports: [],
      addresses: [],
      stoppedExternally: false,
      errorCode: "",
    };
    const outcome = applyReport(task, { nodeId: task.nodeId, status, removed }, this.nowMs);
    if (outcome.kind === "updated") this.tasks.set(taskId, outcome.task);
    if (outcome.kind === "deleted") this.tasks.delete(taskId);
  }

  /** Advances agents and time until nothing changes. Throws when that never happens. */
  settleOverTime(): void {
    for (let round = 0; round < MAX_STEPS; round += 1) {
      this.settle();
      if (this.isRemoved) return;
      const before = [...this.tasks.values()];
      for (const task of before) this.advance(task.id, { fails: false });
      const changed = before.some((task) => this.tasks.get(task.id) !== task);
      if (!changed && this.dueMs === undefined) return;
      this.nowMs = changed ? this.nowMs + 100 : Math.max(this.nowMs + 1, this.dueMs ?? 0);
    }
    throw new Error("the world did not settle");
  }

  /** Advances agents and time until `isOver`. Throws when that takes longer than `limitMs`. */
  runUntil(isOver: (world: World) => boolean, limitMs: number): void {
    const endMs = this.nowMs + limitMs;
    for (this.settle(); !isOver(this); this.settle()) {
      if (this.nowMs > endMs) throw new Error(`not over after ${limitMs} ms`);
      const before = [...this.tasks.values()];
      for (const task of before) this.advance(task.id, { fails: false });
      const changed = before.some((task) => this.tasks.get(task.id) !== task);
      this.nowMs = changed ? this.nowMs + 100 : Math.max(this.nowMs + 1, this.dueMs ?? endMs);
    }
  }

  /** Returns the tasks that occupy a node, without disconnected ones. */
  occupying(): readonly Task[] {
    return [...this.tasks.values()].filter((task) => occupiesNode(task) && !isDisconnected(task));
  }
}

/** Images are named after their behavior: `crashing`, `unpullable`, `never` (healthy). All others run. */
function nextState(
  task: Task,
  { fails, image }: { readonly fails: boolean; readonly image: string },
): TaskState | undefined {
  if (isEnded(task)) return undefined;
  if (task.desiredState >= DesiredState.SHUTDOWN) return TaskState.SHUTDOWN;
  if (fails) return TaskState.FAILED;
  const state = task.status?.state ?? TaskState.NEW;
  if (state === TaskState.ASSIGNED) return TaskState.PREPARING;
  if (state === TaskState.PREPARING) {
    return image.startsWith("unpullable") ? TaskState.REJECTED : TaskState.STARTING;
  }
  if (state === TaskState.STARTING) return image.startsWith("never") ? undefined : TaskState.RUNNING;
  return image.startsWith("crashing") ? TaskState.FAILED : undefined;
}

export const buildNodes = (count: number): readonly Node[] =>
  Array.from({ length: count }, (_, index) => buildNode({ id: `n${index + 1}` }));
