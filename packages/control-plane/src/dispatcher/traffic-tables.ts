import type { DnsEntry, IngressEntry } from "@berth/proto";
import type { Logger } from "pino";
import { onAbort } from "../runtime/abort.js";
import type { Clock } from "../runtime/clock.js";
import { Emitter } from "../runtime/emitter.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { Delta } from "../state/delta.js";
import { onlyGainEndpoints } from "./endpoint-gain.js";
import { EntryTable } from "./entry-table.js";

/**
 * Time within which changes share one update. It is short, because a dead endpoint stays in the tables until the
 * update.
 */
const COALESCE_MS = 5;
/**
 * Minimum interval at which a service with endpoints gains more of them. Each update costs every host a message and an
 * nft transaction, and the replicas of a large service start many times a second (decision 134).
 */
export const GAIN_INTERVAL_MS = 500;

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

interface ServiceEntries {
  readonly ingress: readonly IngressEntry[];
  readonly dns: readonly DnsEntry[];
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
  /** Services that wait for their next gain of endpoints, with functions that cancel their timers. */
  readonly #gaining = new Map<string, () => void>();
  /** Time of the last change of each service's entries. */
  readonly #changedAtMs = new Map<string, number>();
  #cancelUpdate: (() => void) | undefined;
  #version = 1;

  constructor(options: TrafficTablesOptions) {
    this.#options = options;
    const { state, logger, signal } = options;
    const onError = (error: unknown): void => logger.error({ err: error }, "traffic table listener failed");
    this.#changeEmitter = new Emitter(onError);
    this.#updateEmitter = new Emitter(onError);
    for (const { id } of state.services.values()) {
      const entries = this.#compute(id);
      if (entries === undefined) {
        this.#staleServices.add(id);
      } else {
        this.#replace(id, entries);
      }
    }
    const unsubscribe = state.onChange((delta) => this.#onChange(delta));
    onAbort(signal, () => {
      unsubscribe();
      this.#cancelUpdate?.();
      for (const cancel of this.#gaining.values()) cancel();
    });
  }

  /** Starts at 1 and grows with each change of the tables. */
  get version(): number {
    return this.#version;
  }

  /** Returns whether a change of the service is missing from the tables, other than additional endpoints. */
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
    for (const networkId of delta.ranges) {
      if (this.#options.hasStaticFdb(networkId)) this.#markServicesInNetwork(networkId);
    }
    this.#scheduleUpdate();
  }

  #markServicesOnNode(nodeId: string): void {
    for (const task of this.#options.state.tasks.ofNode(nodeId).values()) {
      this.#staleServices.add(task.serviceId);
    }
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
      const entries = this.#compute(serviceId);
      if (entries === undefined) continue;
      this.#staleServices.delete(serviceId);
      if (this.#mayWait(serviceId, entries)) continue;
      const changed = this.#replace(serviceId, entries);
      ingress.push(...changed.ingress);
      dns.push(...changed.dns);
    }
    if (ingress.length + dns.length > 0) {
      this.#version += 1;
      this.#changeEmitter.emit({ ingress, dns });
    }
    this.#updateEmitter.emit();
  }

  /** Computes the entries of a service. Returns undefined after a failure: the service keeps its entries and stays stale. */
  #compute(serviceId: string): ServiceEntries | undefined {
    const { computeIngressEntries, computeDnsEntries, logger } = this.#options;
    try {
      return { ingress: computeIngressEntries(serviceId), dns: computeDnsEntries(serviceId) };
    } catch (error) {
      logger.error({ err: error, serviceId }, "failed to compute traffic tables");
      return undefined;
    }
  }

  /** Schedules a later update of the service, and returns true, if it only gains endpoints and did so a moment ago. */
  #mayWait(serviceId: string, { ingress, dns }: ServiceEntries): boolean {
    const { clock } = this.#options;
    const dueMs = (this.#changedAtMs.get(serviceId) ?? Number.NEGATIVE_INFINITY) + GAIN_INTERVAL_MS;
    const leftMs = dueMs - clock.nowMs();
    if (leftMs <= 0) return false;
    const current = [...this.ingress.ofService(serviceId), ...this.dns.ofService(serviceId)];
    if (!onlyGainEndpoints(current, [...ingress, ...dns])) return false;
    if (!this.#gaining.has(serviceId)) {
      const cancel = clock.after(leftMs, () => {
        this.#gaining.delete(serviceId);
        this.#staleServices.add(serviceId);
        this.#scheduleUpdate();
      });
      this.#gaining.set(serviceId, cancel);
    }
    return true;
  }

  /** Replaces the entries of a service. Returns the keys of those that changed. */
  #replace(serviceId: string, { ingress, dns }: ServiceEntries): TrafficChange {
    this.#gaining.get(serviceId)?.();
    this.#gaining.delete(serviceId);
    const changed = {
      ingress: this.ingress.replaceOfService(serviceId, ingress),
      dns: this.dns.replaceOfService(serviceId, dns),
    };
    if (ingress.length + dns.length === 0) {
      this.#changedAtMs.delete(serviceId);
    } else if (changed.ingress.length + changed.dns.length > 0) {
      this.#changedAtMs.set(serviceId, this.#options.clock.nowMs());
    }
    return changed;
  }
}
