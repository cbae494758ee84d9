import { isDeepStrictEqual } from "node:util";
import type { DnsEntry, IngressEntry } from "@berth/proto";
import type { Logger } from "pino";
import { onAbort } from "../runtime/abort.js";
import type { Clock } from "../runtime/clock.js";
import { Emitter } from "../runtime/emitter.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { Delta } from "../state/delta.js";

/** Several changes of one service are computed once. Short, since a dead endpoint stays in the tables this long. */
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

/** Keys of the entries that changed. */
export interface TrafficChange {
  readonly ingress: readonly string[];
  readonly dns: readonly string[];
}

/**
 * The ingress table and the DNS table, kept up to date with tasks and nodes. Both tables change together, so an agent
 * that has a version of one has the same version of the other.
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

  /** Grows with each change of the tables, from 1. */
  get version(): number {
    return this.#version;
  }

  /** Whether a change of the service is not in the tables yet. */
  isStale(serviceId: string): boolean {
    return this.#staleServices.has(serviceId);
  }

  /** Calls `listener` after each change of the tables; the returned function removes it. */
  onChange(listener: (change: TrafficChange) => void): () => void {
    return this.#changed.on(listener);
  }

  /** Calls `listener` after each update, even without a change, and after all change listeners. */
  onUpdated(listener: () => void): () => void {
    return this.#updated.on(listener);
  }

  /** Recomputes the services on a node. For suspicions, which are not part of the node's record. */
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

  /** Returns undefined when it fails: the service keeps its entries and stays stale. Other services are not affected. */
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

/** Entries by key. Each entry belongs to one service. */
export class EntryTable<Entry extends { readonly key: string }> {
  readonly #entries = new Map<string, Entry>();
  readonly #keysByService = new Map<string, ReadonlySet<string>>();
  /** A key can move from a service that is being removed to a new one, which owns it from then on. */
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
