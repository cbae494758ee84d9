import type { ClusterEvent, Node, Service } from "@berth/proto";
import { clusterEvent, type EventRecord } from "../../core/events/event.js";
import { pastEvents } from "../../core/events/event-history.js";
import { nodeEvents } from "../../core/events/node-events.js";
import { serviceEvents } from "../../core/events/service-events.js";
import { taskEvents } from "../../core/events/task-events.js";
import { onAbort } from "../../runtime/abort.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { Delta } from "../../state/delta.js";

/** A few megabytes; in a cluster that is well, days. */
const CAPACITY = 10_000;

/** Of the time before this leader's term. */
const MAX_REBUILT = 2_000;

/** Records are looked through for the past once the takeover, which must be quick, is over; sooner if somebody asks. */
const REBUILD_AFTER_MS = 5_000;

export interface EventLogOptions {
  readonly state: ClusterState;
  readonly runtime: Runtime;
  readonly epoch: bigint;
  /** Of this server: who leads. */
  readonly address: string;
  /** Aborts with the term. */
  readonly signal: AbortSignal;
}

/**
 * What happened in the cluster, in this leader's memory: the newest events of its term, and what the records that it
 * found tell of the time before. Costs the same for each change, however much there is.
 */
export class EventLog {
  readonly #options: EventLogOptions;
  readonly #ring: EventRecord[] = [];
  readonly #listeners = new Set<() => void>();
  /** As they were told last: deltas only name services that changed. Records are never changed in place. */
  readonly #services = new Map<string, Service>();
  readonly #nodeOf = (nodeId: string): Node | undefined => this.#options.state.nodes.get(nodeId);
  readonly #electedMs: number;
  #past: readonly ClusterEvent[] | undefined;
  #last = 0;

  /** Records everything from now on; `state` is what the leader has found. */
  constructor(options: EventLogOptions) {
    this.#options = options;
    const { state, runtime, address, epoch, signal } = options;
    this.#electedMs = runtime.now();
    for (const service of state.services.values()) this.#services.set(service.id, service);
    const message = `${address} leads (term ${epoch}); what came before is told from the records alone`;
    this.#add({ timeMs: this.#electedMs, reason: "LEADER_ELECTED", message });
    const unsubscribe = state.onChange((delta) => this.#onChange(delta));
    const cancel = runtime.clock.after(REBUILD_AFTER_MS, () => void this.past());
    onAbort(signal, () => {
      cancel();
      unsubscribe();
    });
  }

  get epoch(): number {
    return Number(this.#options.epoch);
  }

  /** What the records tell of the time before the term, oldest first. Without places in its order. */
  past(): readonly ClusterEvent[] {
    this.#past ??= this.#rebuild();
    return this.#past;
  }

  /** Sequence numbers of the oldest and the newest event of the term that are known. */
  get first(): number {
    return this.#last - this.#ring.length + 1;
  }

  get last(): number {
    return this.#last;
  }

  /** Undefined when it is not known any more, or not yet. */
  at(sequence: number): ClusterEvent | undefined {
    const event = sequence < this.first || sequence > this.#last ? undefined : this.#ring[placeOf(sequence)];
    return event && clusterEvent(event, { epoch: this.epoch, sequence });
  }

  /** Calls `listener` whenever there are new events; the returned function ends that. */
  onAppended(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What is known of a node in memory alone: whether it takes new connections. */
  suspicion(nodeId: string, isSuspect: boolean): void {
    const node = this.#nodeOf(nodeId);
    if (node === undefined) return;
    const timeMs = this.#options.runtime.now();
    const message = isSuspect ? "late: it gets no new connections for now" : "it gets new connections again";
    this.#add({ timeMs, reason: isSuspect ? "NODE_SUSPECT" : "NODE_CLEARED", message, node });
    this.#tell();
  }

  #onChange({ services, tasks, nodes }: Delta): void {
    const timeMs = this.#options.runtime.now();
    const before = this.#last;
    for (const step of nodes.values()) for (const event of nodeEvents(step, timeMs)) this.#add(event);
    for (const serviceId of services) this.#serviceChanged(serviceId, timeMs);
    const context = { timeMs, nodeOf: this.#nodeOf };
    for (const step of tasks.values()) for (const event of taskEvents(step, context)) this.#add(event);
    if (this.#last > before) this.#tell();
  }

  #serviceChanged(serviceId: string, timeMs: number): void {
    const before = this.#services.get(serviceId);
    const after = this.#options.state.services.get(serviceId);
    if (before === after) return;
    if (after === undefined) this.#services.delete(serviceId);
    else this.#services.set(serviceId, after);
    for (const event of serviceEvents({ before, after }, timeMs)) this.#add(event);
  }

  #rebuild(): readonly ClusterEvent[] {
    const { services, tasks, nodes } = this.#options.state;
    const records = { services: services.values(), tasks: tasks.values(), nodes: nodes.values() };
    return pastEvents({ ...records, nodeOf: this.#nodeOf }, MAX_REBUILT)
      .filter(({ timeMs }) => timeMs < this.#electedMs)
      .map((event) => clusterEvent(event, { epoch: this.epoch, sequence: 0 }));
  }

  #add(event: EventRecord): void {
    this.#last += 1;
    this.#ring[placeOf(this.#last)] = event;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

const placeOf = (sequence: number): number => (sequence - 1) % CAPACITY;
