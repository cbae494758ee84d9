import type { DnsEntry, IngressEntry } from "@berth/proto";
import { onAbort } from "../runtime/abort.js";
import type { Clock } from "../runtime/clock.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { Delta } from "../state/delta.js";
import { EntryTable } from "./entry-table.js";

/** A burst of changes of one service is worked out once. Short: so long a dead endpoint stays in the tables. */
const COALESCE_MS = 5;

export interface TrafficTablesOptions {
  readonly state: ClusterState;
  readonly clock: Clock;
  /** The published ports of a service as they should be now; none for a service that is gone. */
  readonly ingressEntriesOf: (serviceId: string) => readonly IngressEntry[];
  /** The names of a service as they should be now; none for a service that is gone. */
  readonly dnsEntriesOf: (serviceId: string) => readonly DnsEntry[];
  /** Whether hosts are told where each container of a network is. */
  readonly hasStaticFdb: (networkId: string) => boolean;
  readonly signal: AbortSignal;
}

/** Keys of what has changed. */
export interface TrafficChange {
  readonly ingress: readonly string[];
  readonly dns: readonly string[];
}

/**
 * Keeps the tables of where connections go in step with the tasks and nodes, and says which of their keys changed.
 * Both change at once: who has a version of one has that of the other.
 */
export class TrafficTables {
  readonly ingress = new EntryTable<IngressEntry>();
  readonly dns = new EntryTable<DnsEntry>();
  readonly #options: TrafficTablesOptions;
  readonly #listeners = new Set<(change: TrafficChange) => void>();
  readonly #updateListeners = new Set<() => void>();
  readonly #stale = new Set<string>();
  #cancelUpdate: (() => void) | undefined;
  #version = 1;

  constructor(options: TrafficTablesOptions) {
    this.#options = options;
    const { state, signal } = options;
    for (const { id } of state.services.values()) this.#replace(id);
    const unsubscribe = state.onChange((delta) => this.#onChange(delta));
    onAbort(signal, () => {
      unsubscribe();
      this.#cancelUpdate?.();
    });
  }

  /** Grows with each change of the tables; from 1. */
  get version(): number {
    return this.#version;
  }

  /** Something about the service has changed that the tables do not show yet. */
  isStale(serviceId: string): boolean {
    return this.#stale.has(serviceId);
  }

  onChange(listener: (change: TrafficChange) => void): void {
    this.#listeners.add(listener);
  }

  /** Calls `listener` whenever the tables have caught up with what changed, after those that are told of their keys. */
  onUpdated(listener: () => void): void {
    this.#updateListeners.add(listener);
  }

  /** What is thought of a node has changed, though no record has. */
  nodeChanged(nodeId: string): void {
    this.#addServicesOn(nodeId);
    this.#updateSoon();
  }

  #onChange(delta: Delta): void {
    for (const serviceId of delta.services) this.#stale.add(serviceId);
    for (const nodeId of delta.nodes.keys()) this.#addServicesOn(nodeId);
    for (const networkId of delta.networks) this.#addServicesIn(networkId);
    // One host more may be one too many for sending to everybody.
    for (const networkId of delta.ranges)
      if (this.#options.hasStaticFdb(networkId)) this.#addServicesIn(networkId);
    this.#updateSoon();
  }

  #addServicesOn(nodeId: string): void {
    for (const task of this.#options.state.tasks.ofNode(nodeId).values()) this.#stale.add(task.serviceId);
  }

  #addServicesIn(networkId: string): void {
    const { services, networks } = this.#options.state;
    const name = networks.get(networkId)?.spec?.name;
    if (name === undefined) return;
    for (const serviceId of services.ofNetwork(name).keys()) this.#stale.add(serviceId);
  }

  #updateSoon(): void {
    if (this.#stale.size === 0) return;
    this.#cancelUpdate ??= this.#options.clock.after(COALESCE_MS, () => this.#update());
  }

  #update(): void {
    this.#cancelUpdate = undefined;
    const ingress: string[] = [];
    const names: string[] = [];
    for (const serviceId of this.#stale) {
      const changed = this.#replace(serviceId);
      ingress.push(...changed.ingress);
      names.push(...changed.dns);
    }
    this.#stale.clear();
    if (ingress.length + names.length > 0) {
      this.#version += 1;
      for (const listener of this.#listeners) listener({ ingress, dns: names });
    }
    for (const listener of this.#updateListeners) listener();
  }

  #replace(serviceId: string): TrafficChange {
    const { ingressEntriesOf: entriesOf, dnsEntriesOf: namesOf } = this.#options;
    return {
      ingress: this.ingress.replace(serviceId, entriesOf(serviceId)),
      dns: this.dns.replace(serviceId, namesOf(serviceId)),
    };
  }
}
