import { type ClusterEvent, type Node, NodeState, type Service } from "@berth/proto";
import type { WaitChange } from "../../core/endpoints/waiting-clients.js";
import { changeEvents } from "../../core/events/change-events.js";
import { clusterEvent, type EventRecord } from "../../core/events/event.js";
import { pastEvents } from "../../core/events/event-history.js";
import { type ServiceChange, waitEvent } from "../../core/events/service-events.js";
import { onAbort } from "../../runtime/abort.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { Delta } from "../../state/delta.js";

/** Maximum number of kept events. They take a few megabytes and cover days in a healthy cluster. */
const MAX_EVENTS = 10_000;

/** Maximum number of events that are reconstructed from the time before this leader's term. */
const MAX_RECONSTRUCTED = 2_000;

/** Delay before past events are reconstructed, so that a takeover stays fast. A reader of the log ends the delay. */
const RECONSTRUCT_AFTER_MS = 5_000;

export interface EventLogOptions {
  readonly state: ClusterState;
  readonly runtime: Runtime;
  readonly epoch: bigint;
  /** This server's address. */
  readonly address: string;
  /** Aborts when the term ends. */
  readonly signal: AbortSignal;
}

/**
 * Keeps recent cluster events in the leader's memory: the newest events of its term, and older events that are
 * reconstructed from the records. The cost of a change does not depend on the size of the cluster.
 */
export class EventLog {
  readonly #options: EventLogOptions;
  readonly #recentEvents = new EventRing();
  readonly #listeners = new Set<() => void>();
  /** Service records before the next change, because a delta only contains the IDs of services. */
  readonly #previousServices = new Map<string, Service>();
  readonly #nodeOf = (nodeId: string): Node | undefined => this.#options.state.nodes.get(nodeId);
  readonly #electedMs: number;
  #reconstructedEvents: readonly ClusterEvent[] | undefined;

  /** Starts to record changes. `state` must hold all records. */
  constructor(options: EventLogOptions) {
    this.#options = options;
    const { state, runtime, address, epoch, signal } = options;
    this.#electedMs = runtime.wallClockMs();
    for (const service of state.services.values()) this.#previousServices.set(service.id, service);
    const message = `${address} is the leader (epoch ${epoch}); earlier events are reconstructed from the records`;
    this.#recentEvents.add({ timeMs: this.#electedMs, reason: "LEADER_ELECTED", message });
    const unsubscribe = state.onChange((delta) => this.#onChange(delta));
    const cancel = runtime.clock.after(RECONSTRUCT_AFTER_MS, () => void this.reconstructedEvents());
    onAbort(signal, () => {
      cancel();
      unsubscribe();
    });
  }

  get epoch(): number {
    return Number(this.#options.epoch);
  }

  /** Returns the reconstructed events from before the term, oldest first. They have no sequence numbers. */
  reconstructedEvents(): readonly ClusterEvent[] {
    this.#reconstructedEvents ??= this.#reconstruct();
    return this.#reconstructedEvents;
  }

  /** Sequence number of the oldest event of the term that is kept. */
  get firstSequence(): number {
    return this.#recentEvents.firstSequence;
  }

  /** Sequence number of the newest event of the term. */
  get lastSequence(): number {
    return this.#recentEvents.lastSequence;
  }

  /** Returns an event of the term, or undefined if it was dropped, or has not happened yet. */
  get(sequence: number): ClusterEvent | undefined {
    const logged = this.#recentEvents.get(sequence);
    return logged && clusterEvent(logged.event, { epoch: this.epoch, sequence, revision: logged.revision });
  }

  /** Calls `listener` after new events were added. Returns a function that removes the listener. */
  onAppended(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Records that a node became suspect or is trusted again. Node records do not contain suspicions. The suspicion of a
   * node also ends when the node is down, which is an event of its own.
   */
  recordSuspicion(nodeId: string, isSuspect: boolean): void {
    const node = this.#nodeOf(nodeId);
    if (node === undefined) return;
    if (!isSuspect && this.#options.state.nodes.get(nodeId)?.state === NodeState.DOWN) return;
    const timeMs = this.#options.runtime.wallClockMs();
    const message = isSuspect
      ? "not responding; it gets no new connections"
      : "responding again; it gets new connections";
    this.#recentEvents.add({ timeMs, reason: isSuspect ? "NODE_SUSPECT" : "NODE_CLEARED", message, node });
    this.#notify();
  }

  /** Records that clients of a service began or ceased to wait for a task. Records do not contain them. */
  recordWait(change: WaitChange, service: Service): void {
    this.#recentEvents.add(waitEvent(change, service, this.#options.runtime.wallClockMs()));
    this.#notify();
  }

  #onChange({ revision, services, tasks, nodes }: Delta): void {
    const timeMs = this.#options.runtime.wallClockMs();
    const lastBefore = this.lastSequence;
    const changes = {
      nodes: nodes.values(),
      services: [...services]
        .map((id) => this.#takeServiceChange(id))
        .filter(({ before, after }) => before !== after),
      tasks: tasks.values(),
    };
    for (const event of changeEvents(changes, { timeMs, nodeOf: this.#nodeOf })) {
      this.#recentEvents.add(event, revision);
    }
    if (this.lastSequence > lastBefore) this.#notify();
  }

  /** Returns the change of a service's record since the last call. */
  #takeServiceChange(serviceId: string): ServiceChange {
    const before = this.#previousServices.get(serviceId);
    const after = this.#options.state.services.get(serviceId);
    if (after === undefined) {
      this.#previousServices.delete(serviceId);
    } else {
      this.#previousServices.set(serviceId, after);
    }
    return { before, after };
  }

  #reconstruct(): readonly ClusterEvent[] {
    const { services, tasks, nodes } = this.#options.state;
    const records = { services: services.values(), tasks: tasks.values(), nodes: nodes.values() };
    return pastEvents({ ...records, nodeOf: this.#nodeOf }, MAX_RECONSTRUCTED)
      .filter(({ timeMs }) => timeMs < this.#electedMs)
      .map((event) => clusterEvent(event, { epoch: this.epoch, sequence: 0, revision: 0n }));
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** An event with the revision of its change; 0 for an event without a change of a record. */
interface LoggedEvent {
  readonly event: EventRecord;
  readonly revision: bigint;
}

/** The newest events, by sequence number. The first event has number 1. */
class EventRing {
  readonly #events: LoggedEvent[] = [];
  #lastSequence = 0;

  get firstSequence(): number {
    return this.#lastSequence - this.#events.length + 1;
  }

  get lastSequence(): number {
    return this.#lastSequence;
  }

  get(sequence: number): LoggedEvent | undefined {
    if (sequence < this.firstSequence || sequence > this.#lastSequence) return undefined;
    return this.#events[ringIndex(sequence)];
  }

  /** Adds an event. Drops the oldest event when the ring is full. */
  add(event: EventRecord, revision = 0n): void {
    this.#lastSequence += 1;
    this.#events[ringIndex(this.#lastSequence)] = { event, revision };
  }
}

function ringIndex(sequence: number): number {
  return (sequence - 1) % MAX_EVENTS;
}
