import type { ClusterEvent, Service } from "@berth/proto";
import { type EventReason, type Happening, happening } from "../core/event.js";
import { pastEvents } from "../core/event-history.js";
import { eventsOfNode, nodeEvent } from "../core/event-of-node.js";
import { eventsOfService } from "../core/event-of-service.js";
import { eventsOfTask } from "../core/event-of-task.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { Delta } from "../state/delta.js";
import type { Runtime } from "./runtime.js";

/** A few megabytes; in a cluster that is well, days. */
const CAPACITY = 10_000;

/** Of the time before this leader's term, so that a takeover is not slowed down and leaves room for what follows. */
const MAX_REBUILT = 2_000;

export interface EventLogOptions {
  readonly state: ClusterState;
  readonly runtime: Runtime;
  readonly epoch: bigint;
  /** Of this server: who leads. */
  readonly address: string;
}

/**
 * What happened in the cluster, in this leader's memory: the newest events of its term, after what the records that it
 * found tell of the time before. Costs the same for each change, however much there is.
 */
export class EventLog {
  readonly #options: EventLogOptions;
  readonly #ring: ClusterEvent[] = [];
  readonly #listeners = new Set<() => void>();
  /** As they were told last: deltas only name services that changed. Records are never changed in place. */
  readonly #services = new Map<string, Service>();
  readonly #hostnameOf = (nodeId: string): string =>
    this.#options.state.nodes.get(nodeId)?.description?.hostname || nodeId;
  #last = 0;

  /** Records everything from now on; `state` is what the leader has found. */
  constructor(options: EventLogOptions) {
    this.#options = options;
    const { state, runtime, address, epoch } = options;
    const { services, tasks } = state;
    const records = { services: services.values(), tasks: tasks.values(), nodes: state.nodes.values() };
    for (const event of pastEvents({ ...records, hostnameOf: this.#hostnameOf }, MAX_REBUILT))
      this.#add(event, true);
    for (const service of services.values()) this.#services.set(service.id, service);
    const message = `${address} leads (term ${epoch}); what came before is told from the records alone`;
    this.#add(happening("LEADER_ELECTED", message, { timeMs: runtime.now() }));
    state.onChange((delta) => this.#onChange(delta));
  }

  /** Sequence numbers of the oldest and the newest event that is known. */
  get first(): number {
    return this.#last - this.#ring.length + 1;
  }

  get last(): number {
    return this.#last;
  }

  get epoch(): number {
    return Number(this.#options.epoch);
  }

  /** Undefined when it is not known any more, or not yet. */
  at(sequence: number): ClusterEvent | undefined {
    const isKnown = sequence >= this.first && sequence <= this.#last;
    return isKnown ? this.#ring[(sequence - 1) % CAPACITY] : undefined;
  }

  /** Calls `listener` whenever there are new events; the returned function ends that. */
  onNews(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What is known of a node in memory alone: whether it takes new connections. */
  suspicion(nodeId: string, isSuspect: boolean): void {
    const node = this.#options.state.nodes.get(nodeId);
    if (node === undefined) return;
    const reason: EventReason = isSuspect ? "NODE_SUSPECT" : "NODE_CLEARED";
    const message = isSuspect ? "late: it gets no new connections for now" : "it gets new connections again";
    this.#add(nodeEvent(node, { reason, message, timeMs: this.#options.runtime.now() }));
    this.#tell();
  }

  #onChange({ services, tasks, nodes }: Delta): void {
    const timeMs = this.#options.runtime.now();
    const before = this.#last;
    for (const step of nodes.values()) for (const event of eventsOfNode(step, timeMs)) this.#add(event);
    for (const serviceId of services) this.#serviceChanged(serviceId, timeMs);
    const context = { timeMs, hostnameOf: this.#hostnameOf };
    for (const step of tasks.values()) for (const event of eventsOfTask(step, context)) this.#add(event);
    if (this.#last > before) this.#tell();
  }

  #serviceChanged(serviceId: string, timeMs: number): void {
    const before = this.#services.get(serviceId);
    const after = this.#options.state.services.get(serviceId);
    if (before === after) return;
    if (after === undefined) this.#services.delete(serviceId);
    else this.#services.set(serviceId, after);
    for (const event of eventsOfService({ before, after }, timeMs)) this.#add(event);
  }

  #add(event: Happening, isRebuilt = false): void {
    const at = this.#last % CAPACITY;
    this.#last += 1;
    this.#ring[at] = { ...event, epoch: this.epoch, sequence: this.#last, isRebuilt };
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
