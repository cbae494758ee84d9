import type { DnsEntry, IngressEntry } from "@berth/proto";
import type { Logger } from "pino";
import { onAbort } from "../runtime/abort.js";
import type { Clock } from "../runtime/clock.js";
import { Emitter } from "../runtime/emitter.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { Delta } from "../state/delta.js";
import { EntryTable } from "./entry-table.js";

/** Changes within this time share one update. It is short, because a dead endpoint stays in the tables until the update. */
const COALESCE_MS = 5;

export interface TrafficTablesOptions {
  readonly state: ClusterState;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Computes the ingress entries of a service; empty when it does not exist. */
  readonly computeIngressEntries: (serviceId: string) => readonly IngressEntry[];
  /** Computes the DNS entries of a service; empty when it does not exist. */
  readonly computeDnsEntries: (serviceId: string) => readonly DnsEntry[];
  /** Whether the agents in a network program its forwarding entries instead of flooding it. */
  readonly hasStaticFdb: (networkId: string) => boolean;
  readonly signal: AbortSignal;
}

/** The keys of the entries that an update changed. */
export interface TrafficChange {
  readonly ingress: readonly string[];
  readonly dns: readonly string[];
}

/**
 * The leader's traffic tables, which all agents apply: published ports (ingress) and service names (DNS). Updates them
 * when services, tasks, nodes or networks change.
 *
 * Both tables share one version, since they change together.
 */
export class TrafficTables {
  readonly ingress = new EntryTable<IngressEntry>();
  readonly dns = new EntryTable<DnsEntry>();
  readonly #options: TrafficTablesOptions;
  readonly #changeEmitter: Emitter<TrafficChange>;
  readonly #updateEmitter: Emitter;
  readonly #staleServices = new Set<string>();
  #cancelUpdate: (() => void) | undefined;
  #version = 1;

  constructor(options: TrafficTablesOptions) {
    this.#options = options;
    const { state, logger, signal } = options;
    const onError = (error: unknown): void => logger.error({ err: error }, "traffic table listener failed");
    this.#changeEmitter = new Emitter(onError);
    this.#updateEmitter = new Emitter(onError);
    for (const { id } of state.services.values()) {
      if (this.#recompute(id) === undefined) this.#staleServices.add(id);
    }
    const unsubscribe = state.onChange((delta) => this.#onChange(delta));
    onAbort(signal, () => {
      unsubscribe();
      this.#cancelUpdate?.();
    });
  }

  /** Starts at 1 and grows with each change of the tables. */
  get version(): number {
    return this.#version;
  }

  /** Returns whether the latest change of the service is missing from the tables. */
  isStale(serviceId: string): boolean {
    return this.#staleServices.has(serviceId);
  }

  /** Calls `listener` after each change of the tables; the returned function removes it. */
  onChange(listener: (change: TrafficChange) => void): () => void {
    return this.#changeEmitter.on(listener);
  }

  /** Calls `listener` after each update, with or without a change, after all change listeners. */
  onUpdated(listener: () => void): () => void {
    return this.#updateEmitter.on(listener);
  }

  /** Schedules an update for the services on a node. Called when the node becomes suspect or is trusted again. */
  markNodeStale(nodeId: string): void {
    this.#markServicesOnNode(nodeId);
    this.#scheduleUpdate();
  }

  #onChange(delta: Delta): void {
    for (const serviceId of delta.services) this.#staleServices.add(serviceId);
    for (const nodeId of delta.nodes.keys()) this.#markServicesOnNode(nodeId);
    for (const networkId of delta.networks) this.#markServicesInNetwork(networkId);
    // A network switches to a static FDB when it has grown past the flood limit.
    for (const networkId of delta.ranges)
      if (this.#options.hasStaticFdb(networkId)) this.#markServicesInNetwork(networkId);
    this.#scheduleUpdate();
  }

  #markServicesOnNode(nodeId: string): void {
    for (const task of this.#options.state.tasks.ofNode(nodeId).values())
      this.#staleServices.add(task.serviceId);
  }

  #markServicesInNetwork(networkId: string): void {
    const { services, networks } = this.#options.state;
    const name = networks.get(networkId)?.spec?.name;
    if (name === undefined) return;
    for (const serviceId of services.ofNetwork(name).keys()) this.#staleServices.add(serviceId);
  }

  #scheduleUpdate(): void {
    if (this.#staleServices.size === 0) return;
    this.#cancelUpdate ??= this.#options.clock.after(COALESCE_MS, () => this.#update());
  }

  #update(): void {
    this.#cancelUpdate = undefined;
    const ingress: string[] = [];
    const dns: string[] = [];
    for (const serviceId of this.#staleServices) {
      const changed = this.#recompute(serviceId);
      if (changed === undefined) continue;
      this.#staleServices.delete(serviceId);
      ingress.push(...changed.ingress);
      dns.push(...changed.dns);
    }
    if (ingress.length + dns.length > 0) {
      this.#version += 1;
      this.#changeEmitter.emit({ ingress, dns });
    }
    this.#updateEmitter.emit();
  }

  /** Recomputes one service. Returns undefined after a failure: the service keeps its entries and stays stale. */
  #recompute(serviceId: string): TrafficChange | undefined {
    const { computeIngressEntries, computeDnsEntries, logger } = this.#options;
    try {
      const ingress = computeIngressEntries(serviceId);
      const dns = computeDnsEntries(serviceId);
      return {
        ingress: this.ingress.replaceOfService(serviceId, ingress),
        dns: this.dns.replaceOfService(serviceId, dns),
      };
    } catch (error) {
      logger.error({ err: error, serviceId }, "failed to compute traffic tables");
      return undefined;
    }
  }
}
