import { type JsonObject, readBoolean, readList, readNumber, readText, readTexts } from "../json.js";
import { type Rate, RateHistory } from "./rate-history.js";

/** Connections of one service through one host. */
export interface Counters {
  readonly connections: number;
  readonly failed: number;
  readonly retried: number;
  /** Open connections. */
  readonly active: number;
}

/** Connections of a service through one host, since the web UI was opened and per second. */
export interface HostTraffic extends Counters {
  readonly nodeId: string;
  readonly perSecond: number;
}

export interface TrafficMessage {
  readonly timeMs: number;
  readonly hosts: readonly { readonly nodeId: string; readonly services: ReadonlyMap<string, Counters> }[];
  readonly unresponsiveNodes: readonly string[];
  /** The cluster has too many hosts to ask all of them. */
  readonly isOmitted: boolean;
}

export function decodeTraffic(json: JsonObject): TrafficMessage {
  return {
    timeMs: readNumber(json, "timeMs"),
    hosts: readList(json, "hosts").map((host) => ({
      nodeId: readText(host, "nodeId"),
      services: new Map(
        readList(host, "services").map((service) => [
          readText(service, "serviceId"),
          {
            connections: readNumber(service, "connections"),
            failed: readNumber(service, "failed"),
            retried: readNumber(service, "retried"),
            active: readNumber(service, "active"),
          },
        ]),
      ),
    })),
    unresponsiveNodes: readTexts(json, "unresponsiveNodes"),
    isOmitted: readBoolean(json, "isOmitted"),
  };
}

/** Counters of a service on a host. */
interface Entry {
  last: Counters;
  /** Sums since the web UI was opened, across restarts of the ingress process. */
  total: Counters;
  changedAtMs: number;
  perSecond: number;
}

/** Age from which a rate counts as 0, because the counters of the host have not changed since. */
const RATE_MAX_AGE_MS = 3_500;

/** Adds up the counters of hosts since the web UI was opened. */
export class TrafficTotals {
  readonly #entries = new Map<string, Map<string, Entry>>();
  readonly #rates = new Map<string, RateHistory>();
  #timeMs = 0;
  #unresponsiveNodes: readonly string[] = [];
  #isOmitted = false;

  get unresponsiveNodes(): readonly string[] {
    return this.#unresponsiveNodes;
  }

  get isOmitted(): boolean {
    return this.#isOmitted;
  }

  add({ timeMs, hosts, unresponsiveNodes, isOmitted }: TrafficMessage): void {
    this.#timeMs = timeMs;
    this.#unresponsiveNodes = unresponsiveNodes;
    this.#isOmitted = isOmitted;
    for (const { nodeId, services } of hosts) {
      for (const [serviceId, counters] of services) this.#addCounters(serviceId, nodeId, counters, timeMs);
    }
    for (const serviceId of this.#entries.keys()) this.#addRate(serviceId, timeMs);
  }

  /** Returns the rates of connections of a service, oldest first. */
  ratesOf(serviceId: string): readonly Rate[] {
    return this.#rates.get(serviceId)?.rates ?? [];
  }

  /** Returns the traffic of a service by host. */
  ofService(serviceId: string): readonly HostTraffic[] {
    return [...(this.#entries.get(serviceId) ?? [])].map(([nodeId, { total, perSecond, changedAtMs }]) => ({
      ...total,
      nodeId,
      perSecond: this.#timeMs - changedAtMs > RATE_MAX_AGE_MS ? 0 : perSecond,
    }));
  }

  /** Returns the sums over all hosts and services. */
  sum(): Counters & { readonly perSecond: number } {
    const all = [...this.#entries.keys()].flatMap((serviceId) => this.ofService(serviceId));
    const add = (of: (host: HostTraffic) => number): number => all.reduce((sum, host) => sum + of(host), 0);
    return {
      connections: add(({ connections }) => connections),
      failed: add(({ failed }) => failed),
      retried: add(({ retried }) => retried),
      active: add(({ active }) => active),
      perSecond: add(({ perSecond }) => perSecond),
    };
  }

  /** Forgets removed services. */
  retain(services: ReadonlyMap<string, unknown>): void {
    for (const id of this.#entries.keys()) {
      if (services.has(id)) continue;
      this.#entries.delete(id);
      this.#rates.delete(id);
    }
  }

  #addRate(serviceId: string, atMs: number): void {
    const rates = this.#rates.get(serviceId) ?? new RateHistory();
    this.#rates.set(serviceId, rates);
    const totals = [...(this.#entries.get(serviceId)?.values() ?? [])].map(({ total }) => total);
    const sum = (of: (total: Counters) => number): number =>
      totals.reduce((all, total) => all + of(total), 0);
    rates.add({ atMs, count: sum(({ connections }) => connections), failed: sum(({ failed }) => failed) });
  }

  #addCounters(serviceId: string, nodeId: string, counters: Counters, timeMs: number): void {
    const byNode = this.#entries.get(serviceId) ?? new Map<string, Entry>();
    this.#entries.set(serviceId, byNode);
    const entry = byNode.get(nodeId);
    if (entry === undefined) {
      const total = { connections: 0, failed: 0, retried: 0, active: counters.active };
      byNode.set(nodeId, { last: counters, total, changedAtMs: timeMs, perSecond: 0 });
      return;
    }
    const added = difference(entry.last, counters);
    const elapsedMs = Math.max(1, timeMs - entry.changedAtMs);
    entry.perSecond = (added.connections * 1_000) / elapsedMs;
    entry.total = {
      connections: entry.total.connections + added.connections,
      failed: entry.total.failed + added.failed,
      retried: entry.total.retried + added.retried,
      active: counters.active,
    };
    entry.last = counters;
    entry.changedAtMs = timeMs;
  }
}

/** A lower counter means that the ingress process has started again from 0. */
function difference(before: Counters, after: Counters): Omit<Counters, "active"> {
  const hasRestarted = after.connections < before.connections;
  const base = hasRestarted ? { connections: 0, failed: 0, retried: 0 } : before;
  return {
    connections: after.connections - base.connections,
    failed: Math.max(0, after.failed - base.failed),
    retried: Math.max(0, after.retried - base.retried),
  };
}
