import { isDeepStrictEqual } from "node:util";
import type { DnsEntry, IngressEntry } from "@berth/proto";
import type { Logger } from "pino";
import { onAbort } from "../runtime/abort.js";
import type { Clock } from "../runtime/clock.js";
import { Emitter } from "../runtime/emitter.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { Delta } from "../state/delta.js";

/** Changes within this time are computed together. The delay is short, since a dead endpoint stays in the tables so long. */
const COALESCE_MS = 5;

export interface TrafficTablesOptions {
  readonly state: ClusterState;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Computes the ingress entries of a service; empty when it does not exist. */
  readonly ingressEntriesOf: (serviceId: string) => readonly IngressEntry[];
  /** Computes the DNS entries of a service; empty when it does not exist. */
  readonly dnsEntriesOf: (serviceId: string) => readonly DnsEntry[];
  /** Whether the agents in a network program its forwarding entries instead of flooding it. */
  readonly hasStaticFdb: (networkId: string) => boolean;
  readonly signal: AbortSignal;
}

/** The keys of the changed entries. */
export interface TrafficChange {
  readonly ingress: readonly string[];
  readonly dns: readonly string[];
}

/**
 * Keeps the ingress table and the DNS table up to date with tasks and nodes, for all agents.
 *
 * Both tables share one version, since they change together.
 */
export class TrafficTables {
  readonly ingress = new EntryTable<IngressEntry>();
  readonly dns = new EntryTable<DnsEntry>();
  readonly #options: TrafficTablesOptions;
  readonly #changed: Emitter<TrafficChange>;
  readonly #updated: Emitter;
  readonly #staleServices = new Set<string>();
  #cancelUpdate: (() => void) | undefined;
  #version = 1;

  constructor(options: TrafficTablesOptions) {
    this.#options = options;
    const { state, logger, signal } = options;
    const onError = (error: unknown): void => logger.error({ err: error }, "traffic table listener failed");
    this.#changed = new Emitter(onError);
    this.#updated = new Emitter(onError);
    for (const { id } of state.services.values()) this.#recompute(id);
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

  /** Returns whether the tables do not contain the latest change of the service yet. */
  isStale(serviceId: string): boolean {
    return this.#staleServices.has(serviceId);
  }

  /** Calls `listener` after each change of the tables; the returned function removes it. */
  onChange(listener: (change: TrafficChange) => void): () => void {
    return this.#changed.on(listener);
  }

  /** Calls `listener` after each update, with or without a change, after all change listeners. */
  onUpdated(listener: () => void): () => void {
    return this.#updated.on(listener);
  }

  /** Schedules an update for the services on a node. Called when the node becomes suspect or is trusted again. */
  markNodeStale(nodeId: string): void {
    this.#addServicesOn(nodeId);
    this.#updateSoon();
  }

  #onChange(delta: Delta): void {
    for (const serviceId of delta.services) this.#staleServices.add(serviceId);
    for (const nodeId of delta.nodes.keys()) this.#addServicesOn(nodeId);
    for (const networkId of delta.networks) this.#addServicesIn(networkId);
    // A network switches to a static FDB when it has grown past the flood limit.
    for (const networkId of delta.ranges)
      if (this.#options.hasStaticFdb(networkId)) this.#addServicesIn(networkId);
    this.#updateSoon();
  }

  #addServicesOn(nodeId: string): void {
    for (const task of this.#options.state.tasks.ofNode(nodeId).values())
      this.#staleServices.add(task.serviceId);
  }

  #addServicesIn(networkId: string): void {
    const { services, networks } = this.#options.state;
    const name = networks.get(networkId)?.spec?.name;
    if (name === undefined) return;
    for (const serviceId of services.ofNetwork(name).keys()) this.#staleServices.add(serviceId);
  }

  #updateSoon(): void {
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
      this.#changed.emit({ ingress, dns });
    }
    this.#updated.emit();
  }

  /** Recomputes one service. Returns undefined after a failure: the service keeps its entries and stays stale. */
  #recompute(serviceId: string): TrafficChange | undefined {
    const { ingressEntriesOf, dnsEntriesOf, logger } = this.#options;
    try {
      const ingress = ingressEntriesOf(serviceId);
      const dns = dnsEntriesOf(serviceId);
      return {
        ingress: this.ingress.replace(serviceId, ingress),
        dns: this.dns.replace(serviceId, dns),
      };
    } catch (error) {
      logger.error({ err: error, serviceId }, "failed to compute traffic tables");
      return undefined;
    }
  }
}

const NO_KEYS: ReadonlySet<string> = new Set<string>();

/** A table of entries by key. Each entry belongs to one service. */
export class EntryTable<Entry extends { readonly key: string }> {
  readonly #entries = new Map<string, Entry>();
  readonly #keysByService = new Map<string, ReadonlySet<string>>();
  /** The service that owns each key. A key can move from a service that is being removed to a new one. */
  readonly #ownerByKey = new Map<string, string>();

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  values(): IterableIterator<Entry> {
    return this.#entries.values();
  }

  ofService(serviceId: string): readonly Entry[] {
    const keys = [...(this.#keysByService.get(serviceId) ?? NO_KEYS)];
    return keys.flatMap((key) =>
      this.#ownerByKey.get(key) === serviceId ? (this.#entries.get(key) ?? []) : [],
    );
  }

  /** Replaces the entries of a service. Returns the keys of the entries that changed. */
  replace(serviceId: string, entries: readonly Entry[]): readonly string[] {
    const before = this.#keysByService.get(serviceId) ?? NO_KEYS;
    const changed: string[] = [];
    const keys = new Set<string>();
    for (const entry of entries) {
      keys.add(entry.key);
      this.#ownerByKey.set(entry.key, serviceId);
      if (isDeepStrictEqual(this.#entries.get(entry.key), entry)) continue;
      this.#entries.set(entry.key, entry);
      changed.push(entry.key);
    }
    for (const key of before) {
      if (keys.has(key) || this.#ownerByKey.get(key) !== serviceId) continue;
      this.#entries.delete(key);
      this.#ownerByKey.delete(key);
      changed.push(key);
    }
    if (keys.size > 0) this.#keysByService.set(serviceId, keys);
    else this.#keysByService.delete(serviceId);
    return changed;
  }
}
