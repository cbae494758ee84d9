import { type IngressListener, listenerKey } from "../table/ingress-table.js";
import type { ConntrackDeletion } from "./conntrack-cleaner.js";
import { type DesiredServices, frontendKey, type KernelService, toKernelService } from "./kernel-service.js";
import {
  type DeletionOptions,
  deletionArgs,
  type StaleTarget,
  targetsOnNodes,
  VanishedTargets,
  WithdrawnTargets,
} from "./stale-connections.js";

/** Deletions of connections that became stale. */
export interface StaleDeletions {
  /** Deletions for endpoints that are gone, or whose host is silent. */
  readonly atOnce: readonly ConntrackDeletion[];
  /**
   * Deletions of unanswered connections to possibly live endpoints that get no new connections. A live endpoint
   * responds within the round-trip time between hosts: after that, only connections to dead endpoints are unanswered.
   */
  readonly afterRoundTrip: readonly ConntrackDeletion[];
}

interface KnownListener {
  readonly listener: IngressListener;
  /** Undefined if the user-space proxy serves the listener. */
  readonly service: KernelService | undefined;
}

/**
 * The listeners of the kernel path. Computes which services the kernel should balance and which connections it should
 * stop tracking after a change. Performs no I/O.
 */
export class KernelListeners {
  readonly #listeners = new Map<string, KnownListener>();
  readonly #desired = new Map<string, KernelService>();
  readonly #vanished = new VanishedTargets();
  readonly #withdrawn = new WithdrawnTargets();
  #suspects: ReadonlySet<string> = new Set();
  #unansweredDeletions: ConntrackDeletion[] = [];

  get all(): readonly IngressListener[] {
    return [...this.#listeners.values()].map(({ listener }) => listener);
  }

  get desired(): DesiredServices {
    return this.#desired;
  }

  /** Replaces the listeners. Returns whether any was added, changed or removed. */
  replace(listeners: Iterable<IngressListener>): boolean {
    const removed = new Map(this.#listeners);
    let hasChanged = false;
    for (const listener of listeners) {
      const key = listenerKey(listener);
      removed.delete(key);
      if (this.#listeners.get(key)?.listener === listener) continue;
      hasChanged = true;
      this.#remove(key);
      this.#add(key, listener);
    }
    for (const key of removed.keys()) this.#remove(key);
    return hasChanged || removed.size > 0;
  }

  /**
   * Replaces the set of suspect nodes, whose endpoints are left out of services that have others. Returns whether it
   * changed.
   */
  setSuspectNodes(nodes: ReadonlySet<string>): boolean {
    const added = [...nodes].filter((node) => !this.#suspects.has(node));
    const cleared = [...this.#suspects].filter((node) => !nodes.has(node));
    const affected = new Set([...added, ...cleared]);
    if (affected.size === 0) return false;
    this.#retryUnanswered(new Set(added));
    this.#suspects = nodes;
    for (const [key, { listener }] of this.#listeners) {
      if (listener.endpoints.some(({ node = "" }) => affected.has(node))) this.#updateService(key, listener);
    }
    return true;
  }

  /** Returns the deletions of connections that became stale since the last call. */
  drainDeletions(): StaleDeletions {
    const unanswered = this.#unansweredDeletions.splice(0);
    const vanished = this.#vanished.drain();
    const draining = this.#withdrawn.drain().filter((target) => this.#vanished.isPresent(target));
    return {
      atOnce: [...unanswered, ...deletionsOf(vanished)],
      afterRoundTrip: deletionsOf(draining, { isUnansweredOnly: true }),
    };
  }

  #add(key: string, listener: IngressListener): void {
    this.#vanished.add(listener);
    this.#withdrawn.add(listener);
    this.#updateService(key, listener);
  }

  #updateService(key: string, listener: IngressListener): void {
    const previous = this.#listeners.get(key)?.service;
    if (previous !== undefined) this.#desired.delete(frontendKey(previous.frontend));
    const service = toKernelService(listener, this.#suspects);
    this.#listeners.set(key, { listener, service });
    if (service !== undefined) this.#desired.set(frontendKey(service.frontend), service);
  }

  #remove(key: string): void {
    const current = this.#listeners.get(key);
    if (current === undefined) return;
    const { listener, service } = current;
    this.#vanished.remove(listener);
    this.#withdrawn.remove(listener);
    if (service !== undefined) this.#desired.delete(frontendKey(service.frontend));
    this.#listeners.delete(key);
  }

  /** Makes clients that wait for an endpoint on one of these nodes try another endpoint after the next change. */
  #retryUnanswered(nodes: ReadonlySet<string>): void {
    for (const target of targetsOnNodes(this.all, nodes)) {
      const deletions = deletionArgs(target, { isUnansweredOnly: true });
      this.#unansweredDeletions.push(...deletions.map((args) => ({ args })));
    }
  }
}

/** Returns the deletions of the targets' connections. Unanswered connections come first, because their clients wait. */
function deletionsOf(
  targets: readonly StaleTarget[],
  options?: DeletionOptions,
): readonly ConntrackDeletion[] {
  const deletions = targets.flatMap((target) => {
    const isNeeded = (): boolean => !target.isReused();
    return deletionArgs(target, options).map((args, order) => ({ args, isNeeded, order }));
  });
  return deletions.toSorted((left, right) => left.order - right.order);
}
