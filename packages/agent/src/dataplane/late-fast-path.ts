import type { KernelBalancer } from "./listeners/gateway.js";
import type { IngressListener, ListenerStats } from "./table/ingress-table.js";

/** A path that is opened after the listeners that it stands before: until then they do all the work. */
export class LateFastPath implements KernelBalancer {
  #path: KernelBalancer | undefined;
  #listeners: readonly IngressListener[] = [];
  #suspects: ReadonlySet<string> = new Set();

  async open(path: KernelBalancer): Promise<void> {
    this.#path = path;
    if (this.#suspects.size > 0) await path.suspect(this.#suspects);
    if (this.#listeners.length > 0) await path.apply(this.#listeners);
  }

  async apply(listeners: Iterable<IngressListener>): Promise<void> {
    this.#listeners = [...listeners];
    await this.#path?.apply(this.#listeners);
  }

  async suspect(nodes: ReadonlySet<string>): Promise<void> {
    this.#suspects = nodes;
    await this.#path?.suspect(nodes);
  }

  async addStatistics(stats: readonly ListenerStats[]): Promise<readonly ListenerStats[]> {
    return (await this.#path?.addStatistics(stats)) ?? stats;
  }
}
