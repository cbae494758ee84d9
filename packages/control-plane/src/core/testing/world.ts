/** A small world for property tests: one service, some nodes, and agents that do what they are told when asked to. */
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
import { specsInUse } from "../orchestrator/rollback.js";
import { reconcile } from "../reconcile.js";
import { occupiesNode } from "../scheduler/resource-request.js";
import { buildCluster, buildNode, buildService, buildSnapshot, idSequence } from "./records.js";

/** No plan of these small worlds needs more rounds than this to come to rest. */
const MAX_ROUNDS = 10;

export class World {
  readonly nodes = new Map<string, Node>();
  readonly tasks = new Map<string, Task>();
  /** Tasks whose node went down under them. One that returns runs beside its replacement until that has stopped. */
  readonly wereDisconnected = new Set<string>();
  /** The spec of every version there was. */
  readonly revisions = new Map<number, ServiceSpec>();
  readonly #newId = idSequence("t");
  readonly #observe: (action: Action, world: World) => void;
  service: Service;
  spec: ServiceSpec;
  now = 1_000_000;
  removed = false;
  dueMs: number | undefined;

  constructor(options: {
    readonly spec: ServiceSpec;
    readonly nodes: readonly Node[];
    /** Sees each action before it is applied. */
    readonly observe?: (action: Action, world: World) => void;
  }) {
    this.spec = options.spec;
    this.service = buildService({ spec: options.spec, healthyVersion: 0 });
    this.revisions.set(1, options.spec);
    this.#observe = options.observe ?? (() => undefined);
    for (const node of options.nodes) this.nodes.set(node.id, node);
  }

  get view(): ServiceSnapshot {
    const { service, spec, revisions } = this;
    return buildSnapshot({ service, spec, tasks: [...this.tasks.values()], revisions });
  }

  get cluster(): ClusterSnapshot {
    return buildCluster([...this.nodes.values()], [this.view]);
  }

  plan(): Plan {
    return reconcile(this.view, this.cluster, {
      now: this.now,
      newId: this.#newId,
      leaderSinceMs: 0,
      holdReason: "",
    });
  }

  /** Plans and applies until there is nothing to do; throws if that never comes. */
  settle(): void {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      if (this.removed) return;
      const plan = this.plan();
      for (const action of plan.actions) this.#apply(action);
      this.dueMs = plan.requeueAtMs;
      if (plan.actions.length === 0) return;
    }
    throw new Error("the plan never became empty");
  }

  #apply(action: Action): void {
    this.#observe(action, this);
    if (action.kind === "mark-disconnected") this.wereDisconnected.add(action.task.id);
    if (action.kind === "remove-service") {
      this.removed = true;
      return;
    }
    if (action.kind === "update-service" || action.kind === "roll-back-service") {
      this.#become(action.service);
      return;
    }
    const after = taskAfter(action, this.now);
    if (after === undefined) this.tasks.delete(action.task.id);
    else this.tasks.set(after.id, after);
  }

  /** As an earlier berth left it: a change without any record of its rollout. */
  change(spec: ServiceSpec, { template }: { readonly template: boolean }): void {
    const version = this.service.version + 1;
    const templateVersion = template ? version : this.service.templateVersion;
    this.#become({ ...this.service, spec, version, templateVersion });
  }

  /** What the leader does with a new spec. */
  deploy(spec: ServiceSpec, rollback?: string): void {
    const inUse = specsInUse(this.tasks.values(), (version) => this.revisions.get(version));
    const context = { id: this.service.id, now: this.now, inUse, ...(rollback ? { rollback } : {}) };
    this.#become(applySpec(this.service, spec, context).service);
  }

  /** Another leader has nothing but the records. */
  changeLeader(): void {
    this.#become(Service.fromJSON(Service.toJSON(this.service)));
    for (const [id, task] of this.tasks) this.tasks.set(id, Task.fromJSON(Task.toJSON(task)));
    this.dueMs = undefined;
  }

  #become(service: Service): void {
    this.service = service;
    if (service.spec === undefined) return;
    this.spec = service.spec;
    this.revisions.set(service.version, service.spec);
  }

  setNode(id: string, change: { availability?: Availability; state?: NodeState; fenced?: boolean }): void {
    const node = this.nodes.get(id);
    if (node === undefined) return;
    const isNews = change.state !== undefined && change.state !== node.state;
    const since = isNews ? { stateSinceMs: this.now, fenced: false } : {};
    this.nodes.set(id, { ...node, ...since, ...change });
  }

  /** Lets the agent of one task take its next step; `fails` ends a task that should go on. */
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
    };
    const outcome = applyReport(task, { nodeId: task.nodeId, status, removed }, this.now);
    if (outcome.kind === "updated") this.tasks.set(taskId, outcome.task);
    if (outcome.kind === "deleted") this.tasks.delete(taskId);
  }

  /** Agents work and time passes until nothing more happens; throws if that never comes. */
  comeToRest(): void {
    for (let round = 0; round < 400; round += 1) {
      this.settle();
      if (this.removed) return;
      const before = [...this.tasks.values()];
      for (const task of before) this.advance(task.id, { fails: false });
      const changed = before.some((task) => this.tasks.get(task.id) !== task);
      if (!changed && this.dueMs === undefined) return;
      this.now = changed ? this.now + 100 : Math.max(this.now + 1, this.dueMs ?? 0);
    }
    throw new Error("the world never came to rest");
  }

  /** Agents work and time passes until `isOver`; throws if that does not come within `limitMs`. */
  runUntil(isOver: (world: World) => boolean, limitMs: number): void {
    const endMs = this.now + limitMs;
    for (this.settle(); !isOver(this); this.settle()) {
      if (this.now > endMs) throw new Error(`not over after ${limitMs} ms`);
      const before = [...this.tasks.values()];
      for (const task of before) this.advance(task.id, { fails: false });
      const changed = before.some((task) => this.tasks.get(task.id) !== task);
      this.now = changed ? this.now + 100 : Math.max(this.now + 1, this.dueMs ?? endMs);
    }
  }

  /** What runs as far as anybody knows: what is out of reach is left out. */
  live(): readonly Task[] {
    return [...this.tasks.values()].filter((task) => occupiesNode(task) && !isDisconnected(task));
  }
}

/** Images are named after what they do: `crashing`, `unpullable`, `never` healthy; all others run. */
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

export const worldNodes = (count: number): readonly Node[] =>
  Array.from({ length: count }, (_, index) => buildNode({ id: `n${index + 1}` }));
