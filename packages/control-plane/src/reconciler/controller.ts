import { isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import { describeAction, type Plan } from "../core/model/plan.js";
import { reconcile } from "../core/reconcile.js";
import { occupiesNode } from "../core/scheduler/resource-request.js";
import { Backoff } from "../runtime/backoff.js";
import type { Runtime } from "../runtime/runtime.js";
import { recordKey } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { Delta } from "../state/delta.js";
import { serviceSnapshot } from "../state/service-snapshot.js";
import { virtualIpChanges } from "./networks/virtual-ip-changes.js";
import { orphanChanges, planChanges } from "./plan-changes.js";
import { companionsOf, dependentsWaitingFor, planWithDependencies } from "./plan-with-dependencies.js";
import { WorkQueue } from "./work-queue.js";
import type { Decision, Writer } from "./writer.js";

/**
 * Number of services reconciled at the same time, so that their changes share transactions. A lost host affects about
 * 100 services.
 */
const WORKER_COUNT = 128;

/** Delay between freed capacity and the next attempt to place tasks, so that many ended tasks cause one attempt. */
const RETRY_UNPLACED_AFTER_MS = 100;

/** Pause before the first retry of a failed reconciliation. */
const FIRST_RETRY_MS = 100;

/** Longest pause before a retry. */
const MAX_RETRY_MS = 10_000;

/** Maximum number of actions that are logged one by one. A longer plan is logged as counts by kind. */
const MAX_LOGGED_ACTIONS = 8;

export interface ControllerObserver {
  onReconciled(durationMs: number): void;
}

export interface ControllerOptions {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly observer: ControllerObserver;
}

const NOTHING_TO_DO: Plan = { actions: [], problems: [] };

/** A plan with the name of its service, whose record may be gone once the plan is written. */
interface NamedPlan {
  readonly plan: Plan;
  readonly name: string;
}

/**
 * The leader's reconcile loop. It takes a changed service from the queue, plans its changes and writes them. It queues the
 * service again for the time at which the plan is due.
 */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #queue: WorkQueue;
  readonly #backoffs = new Map<string, Backoff>();
  #cancelRetryUnplaced: (() => void) | undefined;
  readonly #leaderSinceMs: number;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#leaderSinceMs = options.runtime.wallClockMs();
    this.#queue = new WorkQueue(options.runtime.clock);
  }

  /** Number of services that are queued. */
  get depth(): number {
    return this.#queue.depth;
  }

  /** Reconciles all services once, and then each one that changes, until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { state } = this.#options;
    const unsubscribe = state.onChange((delta) => this.#onChange(delta));
    for (const { id } of state.services.values()) this.#queue.add(id);
    for (const serviceId of state.tasks.serviceIds()) this.#queue.add(serviceId);
    await Promise.all(Array.from({ length: WORKER_COUNT }, () => this.#work(signal)));
    unsubscribe();
    this.#cancelRetryUnplaced?.();
    this.#queue.close();
  }

  #onChange(delta: Delta): void {
    for (const serviceId of delta.services) {
      this.#queue.add(serviceId);
      for (const waiting of dependentsWaitingFor(serviceId, this.#options.state)) this.#queue.add(waiting);
      for (const companion of companionsOf(serviceId, this.#options.state)) this.#queue.add(companion);
    }
    let hasFreedCapacity = delta.nodes.size > 0;
    for (const { before, after } of delta.tasks.values()) {
      hasFreedCapacity ||=
        before !== undefined && occupiesNode(before) && (after === undefined || !occupiesNode(after));
    }
    if (delta.nodes.size > 0) this.#queueNodes(delta.nodes.keys());
    if (hasFreedCapacity) this.#retryUnplacedSoon();
  }

  /** A changed node affects the services that have tasks on it and all global services. */
  #queueNodes(nodeIds: Iterable<string>): void {
    const { state } = this.#options;
    for (const nodeId of nodeIds) {
      for (const task of state.tasks.ofNode(nodeId).values()) this.#queue.add(task.serviceId);
    }
    for (const serviceId of state.services.globalServiceIds()) this.#queue.add(serviceId);
  }

  #retryUnplacedSoon(): void {
    const { state, runtime } = this.#options;
    this.#cancelRetryUnplaced ??= runtime.clock.after(RETRY_UNPLACED_AFTER_MS, () => {
      this.#cancelRetryUnplaced = undefined;
      for (const serviceId of state.tasks.unplacedServices()) this.#queue.add(serviceId);
    });
  }

  async #work(signal: AbortSignal): Promise<void> {
    for (let id = await this.#queue.take(signal); id !== undefined; id = await this.#queue.take(signal)) {
      const serviceId = id;
      try {
        const decided = await this.#options.writer.submit((state) => this.#decide(serviceId, state), signal);
        this.#finish(serviceId, decided);
      } catch (error) {
        if (!signal.aborted) this.#retry(serviceId, error);
      } finally {
        this.#queue.done(serviceId);
      }
    }
  }

  #decide(serviceId: string, state: ClusterState): Decision<NamedPlan> {
    const { runtime, observer } = this.#options;
    const snapshot = serviceSnapshot(state, serviceId);
    if (snapshot === undefined) {
      // A service with an unreadable record keeps its tasks.
      const isDeleted = state.revisions.get(recordKey("service", { serviceId })) === undefined;
      return {
        changes: isDeleted ? orphanChanges(state.tasks.ofService(serviceId).values(), state) : [],
        result: { plan: NOTHING_TO_DO, name: serviceId },
      };
    }
    const startedMs = runtime.clock.nowMs();
    const nowMs = runtime.wallClockMs();
    const { spec } = snapshot;
    const context = { nowMs, newId: () => runtime.newId(), leaderSinceMs: this.#leaderSinceMs };
    const plan = planWithDependencies(snapshot, { state, nowMs }, (holdReason) =>
      reconcile(snapshot, state.nodes, { ...context, holdReason }),
    );
    const isRemoved = plan.actions.some(({ kind }) => kind === "remove-service");
    const vips = isRemoved ? [] : virtualIpChanges(serviceId, spec, { state, nowMs });
    const changes = [...vips, ...planChanges(plan, state, nowMs)];
    observer.onReconciled(runtime.clock.nowMs() - startedMs);
    return { changes, result: { plan, name: spec.name } };
  }

  #finish(serviceId: string, { plan, name }: NamedPlan): void {
    const { runtime } = this.#options;
    this.#backoffs.delete(serviceId);
    this.#logActions(name, plan);
    if (plan.requeueAtMs !== undefined) {
      this.#queue.addAfter(serviceId, plan.requeueAtMs - runtime.wallClockMs());
    }
  }

  #logActions(service: string, { actions }: Plan): void {
    const { logger } = this.#options;
    if (actions.length <= MAX_LOGGED_ACTIONS) {
      for (const action of actions) logger.info({ service }, describeAction(action));
      return;
    }
    const counts: Record<string, number> = {};
    for (const { kind } of actions) counts[kind] = (counts[kind] ?? 0) + 1;
    logger.info({ service, actions: actions.length, ...counts }, "reconciled service");
  }

  #retry(serviceId: string, error: unknown): void {
    const backoff =
      this.#backoffs.get(serviceId) ?? new Backoff({ firstMs: FIRST_RETRY_MS, maxMs: MAX_RETRY_MS });
    this.#backoffs.set(serviceId, backoff);
    const delayMs = backoff.nextMs();
    const level = isBerthError(error) ? "warn" : "error";
    this.#options.logger[level]({ err: error, serviceId, delayMs }, "failed to reconcile service; retrying");
    this.#queue.addAfter(serviceId, delayMs);
  }
}
