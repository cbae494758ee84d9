import type { WaitingClients, WaitingService } from "@berth/proto";

/** A service whose clients wait again within this time is not reported again. */
const QUIET_MS = 10_000;

/** A change that users see as an event. */
export type WaitChange =
  | { readonly kind: "began"; readonly serviceName: string }
  | { readonly kind: "ended"; readonly serviceName: string; readonly wait: FinishedWait };

/** A time in which clients of a service waited on at least one host. */
export interface FinishedWait {
  readonly durationMs: number;
  readonly clients: number;
  readonly refused: number;
}

/** Clients of a service that began to wait, on all hosts. */
interface Wait {
  readonly sinceMs: number;
  /** The counters of each node that has reported waiting clients: those of the first report, and the newest. */
  readonly nodes: Map<string, { readonly first: WaitingService; last: WaitingService }>;
  /** False if the service has waited shortly before. */
  readonly isReported: boolean;
}

/** Tracks on which hosts clients of services wait, from the reports of agents. Bounded by the known services and nodes. */
export class WaitingClientsTracker {
  readonly #waits = new Map<string, Wait>();
  /** When the last wait of each service ended. */
  readonly #endedAtMs = new Map<string, number>();

  /** Applies the complete report of a node. The names must be those of existing services. */
  record(nodeId: string, { services }: WaitingClients, nowMs: number): readonly WaitChange[] {
    const changes: WaitChange[] = [];
    const reported = new Map(services.map((service) => [service.serviceName, service]));
    for (const [serviceName, service] of reported) {
      const wait = this.#waits.get(serviceName);
      const node = wait?.nodes.get(nodeId);
      if (node !== undefined) {
        node.last = service;
      } else if (service.waiting > 0) {
        if (wait === undefined) changes.push(...this.#begin(serviceName, nowMs));
        this.#waits.get(serviceName)?.nodes.set(nodeId, { first: service, last: service });
      }
    }
    for (const [serviceName, { nodes }] of this.#waits) {
      const node = nodes.get(nodeId);
      if (node !== undefined && !reported.has(serviceName)) node.last = { ...node.last, waiting: 0 };
      changes.push(...this.#endIfOver(serviceName, nowMs));
    }
    this.#forgetOld(nowMs);
    return changes;
  }

  #begin(serviceName: string, nowMs: number): readonly WaitChange[] {
    const isReported = nowMs - (this.#endedAtMs.get(serviceName) ?? -Infinity) >= QUIET_MS;
    this.#waits.set(serviceName, { sinceMs: nowMs, nodes: new Map(), isReported });
    return isReported ? [{ kind: "began", serviceName }] : [];
  }

  #endIfOver(serviceName: string, nowMs: number): readonly WaitChange[] {
    const wait = this.#waits.get(serviceName);
    if (wait === undefined || [...wait.nodes.values()].some(({ last }) => last.waiting > 0)) return [];
    this.#waits.delete(serviceName);
    this.#endedAtMs.set(serviceName, nowMs);
    if (!wait.isReported) return [];
    let [clients, refused] = [0, 0];
    for (const { first, last } of wait.nodes.values()) {
      clients += first.waiting + last.total - first.total;
      refused += last.refused - first.refused;
    }
    return [{ kind: "ended", serviceName, wait: { durationMs: nowMs - wait.sinceMs, clients, refused } }];
  }

  #forgetOld(nowMs: number): void {
    for (const [name, endedAtMs] of this.#endedAtMs) {
      if (nowMs - endedAtMs >= QUIET_MS) this.#endedAtMs.delete(name);
    }
  }
}
