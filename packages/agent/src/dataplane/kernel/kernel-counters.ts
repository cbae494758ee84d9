import {
  type EndpointStats,
  type IngressEndpoint,
  type IngressListener,
  type ListenerStats,
  listenerKey,
} from "../table/ingress-table.js";
import { CounterAccumulator } from "./counter-accumulator.js";
import { endpointElement, frontendElement, toFrontend, toKernelEndpoint } from "./kernel-service.js";
import type { KernelStatistics } from "./kernel-statistics.js";
import type { UnansweredClient } from "./syn-retransmit.js";

/** The listener and node that an endpoint's counters belong to. */
interface Owner {
  readonly listener: string;
  readonly node: string;
}

/**
 * Turns the kernel's counters into sums by listener, endpoint and node that never decrease.
 *
 * The kernel counts an endpoint once, whichever frontend a connection came through. An endpoint of two listeners counts
 * for the first of them. Connections between the last update and the removal of an endpoint are missing from its node's
 * sum.
 */
export class KernelCounters {
  readonly #connectionsByListener = new CounterAccumulator();
  readonly #sentByNode = new CounterAccumulator();
  readonly #refusedByListener = new CounterAccumulator();
  readonly #refusedByNode = new CounterAccumulator();
  /** Unanswered connections that were sent to another endpoint, by listener. */
  readonly #retransmitted = new Map<string, number>();
  /** The last reported number of connections, by listener. */
  readonly #reported = new Map<string, number>();
  #latest: KernelStatistics = {
    frontends: new Map(),
    sent: new Map(),
    refused: new Map(),
    active: new Map(),
  };

  /** Adds the counts since the last update. */
  update(listeners: Iterable<IngressListener>, statistics: KernelStatistics): void {
    const listenerOfFrontend = new Map<string, string>();
    const owners = new Map<string, Owner>();
    const keys = new Set<string>();
    for (const listener of listeners) {
      const key = listenerKey(listener);
      keys.add(key);
      const frontend = toFrontend(listener);
      if (frontend !== undefined) listenerOfFrontend.set(frontendElement(frontend), key);
      for (const [element, { node = "" }] of elementsOf(listener)) {
        if (!owners.has(element)) owners.set(element, { listener: key, node });
      }
    }
    const byNode = (element: string): string | undefined => {
      const owner = owners.get(element);
      return owner && nodeKey(owner.listener, owner.node);
    };
    this.#connectionsByListener.update(statistics.frontends, (element) => listenerOfFrontend.get(element));
    this.#sentByNode.update(statistics.sent, byNode);
    this.#refusedByListener.update(statistics.refused, (element) => owners.get(element)?.listener);
    this.#refusedByNode.update(statistics.refused, byNode);
    this.#latest = statistics;
    this.#dropOtherListeners(keys);
  }

  /** Counts clients that wait for an endpoint that is gone: they retransmit and get another endpoint. */
  countRetransmitted(
    clients: Iterable<Pick<UnansweredClient, "address" | "port">>,
    listeners: Iterable<IngressListener>,
  ): void {
    const tcp = [...listeners].filter(({ protocol }) => protocol === "tcp");
    for (const { address, port } of clients) {
      const listener =
        tcp.find((each) => each.port === port && each.address === address) ??
        tcp.find((each) => each.port === port && toFrontend(each)?.kind === "port");
      if (listener === undefined) continue;
      const key = listenerKey(listener);
      this.#retransmitted.set(key, (this.#retransmitted.get(key) ?? 0) + 1);
    }
  }

  /** Returns the sum of the user-space proxy's statistics and the kernel's. */
  addTo(stats: readonly ListenerStats[], listeners: Iterable<IngressListener>): readonly ListenerStats[] {
    const listenerOf = new Map([...listeners].map((listener) => [listenerKey(listener), listener]));
    const counted = new Set<string>();
    return stats.map((listener) => {
      const key = listenerKey(listener);
      const known = listenerOf.get(key);
      const elements = new Map(known && [...elementsOf(known)].map(([element, { id }]) => [id, element]));
      const endpoints = listener.endpoints.map((endpoint): EndpointStats => {
        const element = elements.get(endpoint.id);
        if (element === undefined || counted.has(element)) return endpoint;
        counted.add(element);
        return this.#addToEndpoint(endpoint, element);
      });
      const activeBefore = sumOf(listener.endpoints, ({ active }) => active);
      return {
        ...listener,
        total: listener.total + this.#connections(key),
        active: listener.active + sumOf(endpoints, ({ active }) => active) - activeBefore,
        retried: listener.retried + this.#retried(key),
        endpoints,
        nodes: listener.nodes.map(({ node, total, failed }) => ({
          node,
          total: total + this.#sentByNode.getSum(nodeKey(key, node)),
          failed: failed + this.#refusedByNode.getSum(nodeKey(key, node)),
        })),
      };
    });
  }

  #addToEndpoint(endpoint: EndpointStats, element: string): EndpointStats {
    const { sent, refused, active } = this.#latest;
    return {
      ...endpoint,
      total: endpoint.total + (sent.get(element) ?? 0),
      active: endpoint.active + (active.get(element) ?? 0),
      failed: endpoint.failed + (refused.get(element) ?? 0),
    };
  }

  #retried(key: string): number {
    return this.#refusedByListener.getSum(key) + (this.#retransmitted.get(key) ?? 0);
  }

  /**
   * Returns the connections of a listener. A retried connection counts once. Its refusal may be read before the
   * connection itself, so the result is kept from decreasing.
   */
  #connections(key: string): number {
    const counted = this.#connectionsByListener.getSum(key) - this.#retried(key);
    const connections = Math.max(this.#reported.get(key) ?? 0, counted);
    this.#reported.set(key, connections);
    return connections;
  }

  #dropOtherListeners(keys: ReadonlySet<string>): void {
    const accumulators = [
      this.#connectionsByListener,
      this.#sentByNode,
      this.#refusedByListener,
      this.#refusedByNode,
    ];
    for (const accumulator of accumulators) {
      accumulator.keepOnly((owner) => keys.has(owner.split(SEPARATOR, 1)[0] ?? ""));
    }
    for (const counts of [this.#reported, this.#retransmitted]) {
      for (const key of counts.keys()) if (!keys.has(key)) counts.delete(key);
    }
  }
}

const SEPARATOR = " ";

const nodeKey = (listener: string, node: string): string => `${listener}${SEPARATOR}${node}`;

function* elementsOf({
  protocol,
  endpoints,
  draining,
}: IngressListener): Generator<readonly [string, IngressEndpoint]> {
  for (const endpoint of [...endpoints, ...draining]) {
    const reached = toKernelEndpoint(endpoint);
    if (reached !== undefined) yield [endpointElement(protocol, reached), endpoint];
  }
}

const sumOf = <Item>(items: readonly Item[], countOf: (item: Item) => number): number =>
  items.reduce((sum, item) => sum + countOf(item), 0);
