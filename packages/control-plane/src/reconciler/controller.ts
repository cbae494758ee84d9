import { isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import { describeAction, type Plan } from "../core/model/plan.js";
import { reconcile } from "../core/reconcile.js";
import { occupiesNode } from "../core/scheduler/resource-request.js";
import type { Runtime } from "../runtime/runtime.js";
import { recordKey } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { Delta } from "../state/delta.js";
import { serviceSnapshot } from "../state/service-snapshot.js";
import { dependentsWaitingFor, gateOf, withGate } from "./gates.js";
import { virtualIpChanges } from "./networks/virtual-ip-changes.js";
import { orphanChanges, planChanges } from "./plan-changes.js";
import { WorkQueue } from "./work-queue.js";
import type { Decision, Writer } from "./writer.js";

/**
 * Services decided upon at once: the more, the more decisions share a transaction. A host that dies has tasks of a
 * hundred services on it.
 */
const WORKERS = 128;

/** Room that appears is offered to waiting tasks this much later, so that many tasks that end cost one look. */
const OFFER_ROOM_AFTER_MS = 100;

const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 10_000;

/** A plan with more actions is logged as a sum: a thousand lines for one decision tell a person less. */
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

/** A plan and the name that people know its service by, which may be gone once the plan is written. */
interface Decided {
  readonly plan: Plan;
  readonly name: string;
}

/** Brings every service to what it should be: a changed key → a plan from the core → written → looked at again. */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #queue: WorkQueue;
  readonly #failures = new Map<string, number>();
  #cancelOffer: (() => void) | undefined;
  readonly #sinceMs: number;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#sinceMs = options.runtime.now();
    this.#queue = new WorkQueue(options.runtime.clock);
  }

  /** Services that wait to be looked at. */
  get depth(): number {
    return this.#queue.depth;
  }

  /** Looks at every service once and at each that changes from then on, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { state } = this.#options;
    const unsubscribe = state.onChange((delta) => this.#onChange(delta));
    for (const { id } of state.services.values()) this.#queue.add(id);
    for (const serviceId of state.tasks.serviceIds()) this.#queue.add(serviceId);
    await Promise.all(Array.from({ length: WORKERS }, () => this.#work(signal)));
    unsubscribe();
    this.#cancelOffer?.();
    this.#queue.close();
  }

  #onChange(delta: Delta): void {
    for (const serviceId of delta.services) {
      this.#queue.add(serviceId);
      for (const waiting of dependentsWaitingFor(serviceId, this.#options.state)) this.#queue.add(waiting);
    }
    let roomAppeared = delta.nodes.size > 0;
    for (const { before, after } of delta.tasks.values()) {
      roomAppeared ||=
        before !== undefined && occupiesNode(before) && (after === undefined || !occupiesNode(after));
    }
    if (delta.nodes.size > 0) this.#queueNodes(delta.nodes.keys());
    if (roomAppeared) this.#offerRoom();
  }

  /** A node that comes, goes or changes matters to what runs on it and to what runs on every node. */
  #queueNodes(nodeIds: Iterable<string>): void {
    const { state } = this.#options;
    for (const nodeId of nodeIds) {
      for (const task of state.tasks.ofNode(nodeId).values()) this.#queue.add(task.serviceId);
    }
    for (const serviceId of state.services.globalServices()) this.#queue.add(serviceId);
  }

  #offerRoom(): void {
    const { state, runtime } = this.#options;
    this.#cancelOffer ??= runtime.clock.after(OFFER_ROOM_AFTER_MS, () => {
      this.#cancelOffer = undefined;
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

  #decide(serviceId: string, state: ClusterState): Decision<Decided> {
    const { runtime, observer } = this.#options;
    const snapshot = serviceSnapshot(state, serviceId);
    if (snapshot === undefined) {
      // A record that is there and cannot be read is no reason to end what it describes.
      const isGone = state.revisions.get(recordKey("service", { serviceId })) === undefined;
      return {
        changes: isGone ? orphanChanges(state.tasks.ofService(serviceId).values(), state) : [],
        result: { plan: NOTHING_TO_DO, name: serviceId },
      };
    }
    const startedMs = runtime.clock.nowMs();
    const now = runtime.now();
    const { spec } = snapshot;
    const gate = gateOf(snapshot, state, now);
    const context = { now, newId: () => runtime.newId(), leaderSinceMs: this.#sinceMs };
    const plan = withGate(gate, (holdReason) => reconcile(snapshot, state.nodes, { ...context, holdReason }));
    const isGoing = plan.actions.some(({ kind }) => kind === "remove-service");
    const vips = isGoing ? [] : virtualIpChanges(serviceId, spec, { state, now });
    const changes = [...vips, ...planChanges(plan, state, now)];
    observer.onReconciled(runtime.clock.nowMs() - startedMs);
    return { changes, result: { plan, name: spec.name } };
  }

  #finish(serviceId: string, { plan, name }: Decided): void {
    const { runtime } = this.#options;
    this.#failures.delete(serviceId);
    this.#log(name, plan);
    if (plan.requeueAtMs !== undefined) {
      this.#queue.addAfter(serviceId, plan.requeueAtMs - runtime.now());
    }
  }

  #log(service: string, { actions }: Plan): void {
    const { logger } = this.#options;
    if (actions.length <= MAX_LOGGED_ACTIONS) {
      for (const action of actions) logger.info({ service }, describeAction(action));
      return;
    }
    const counts: Record<string, number> = {};
    for (const { kind } of actions) counts[kind] = (counts[kind] ?? 0) + 1;
    logger.info({ service, ...counts }, `${actions.length} steps for ${service}`);
  }

  #retry(serviceId: string, error: unknown): void {
    const failures = (this.#failures.get(serviceId) ?? 0) + 1;
    this.#failures.set(serviceId, failures);
    const delayMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1));
    const level = isBerthError(error) ? "warn" : "error";
    this.#options.logger[level]({ err: error, serviceId, delayMs }, "a service could not be reconciled");
    this.#queue.addAfter(serviceId, delayMs);
  }
}

const NOTHING_TO_DO: Plan = { actions: [], problems: [] };
