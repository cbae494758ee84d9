import type { IngressEntry } from "@berth/proto";
import type { ClusterState } from "../state/cluster-state.js";
import type { Delta } from "../state/delta.js";
import { onAbort } from "../store/abort.js";
import type { Clock } from "../store/clock.js";
import { IngressTable } from "./ingress-table.js";

/** A burst of changes of one service is worked out once. Short: so long a dead endpoint stays in the tables. */
const COALESCE_MS = 5;

export interface IngressFeedOptions {
  readonly state: ClusterState;
  readonly clock: Clock;
  /** The entries of a service as they should be now; none for a service that is gone. */
  readonly entriesOf: (serviceId: string) => readonly IngressEntry[];
  readonly signal: AbortSignal;
}

/** Keeps the ingress table in step with the tasks and nodes, and says which of its keys changed. */
export class IngressFeed {
  readonly table = new IngressTable();
  readonly #options: IngressFeedOptions;
  readonly #listeners = new Set<(keys: readonly string[]) => void>();
  readonly #updateListeners = new Set<() => void>();
  readonly #stale = new Set<string>();
  #cancelUpdate: (() => void) | undefined;
  #version = 1;

  constructor(options: IngressFeedOptions) {
    this.#options = options;
    const { state, signal } = options;
    for (const { id } of state.services.values()) this.table.replace(id, options.entriesOf(id));
    const unsubscribe = state.onChange((delta) => this.#onChange(delta));
    onAbort(signal, () => {
      unsubscribe();
      this.#cancelUpdate?.();
    });
  }

  /** Grows with each change of the table; from 1. */
  get version(): number {
    return this.#version;
  }

  /** Something about the service has changed that the table does not show yet. */
  isStale(serviceId: string): boolean {
    return this.#stale.has(serviceId);
  }

  onChange(listener: (keys: readonly string[]) => void): void {
    this.#listeners.add(listener);
  }

  /** Calls `listener` whenever the table has caught up with what changed, after those that are told of its keys. */
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
    this.#updateSoon();
  }

  #addServicesOn(nodeId: string): void {
    for (const task of this.#options.state.tasks.ofNode(nodeId).values()) this.#stale.add(task.serviceId);
  }

  #updateSoon(): void {
    if (this.#stale.size === 0) return;
    this.#cancelUpdate ??= this.#options.clock.after(COALESCE_MS, () => this.#update());
  }

  #update(): void {
    this.#cancelUpdate = undefined;
    const changed: string[] = [];
    for (const serviceId of this.#stale) {
      changed.push(...this.table.replace(serviceId, this.#options.entriesOf(serviceId)));
    }
    this.#stale.clear();
    if (changed.length > 0) {
      this.#version += 1;
      for (const listener of this.#listeners) listener(changed);
    }
    for (const listener of this.#updateListeners) listener();
  }
}
