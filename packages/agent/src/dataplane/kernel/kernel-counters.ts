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

/** Separates the listener from the node in the key of a node's counters. Listener keys contain no space. */
const SEPARATOR = " ";

/**
 * Turns the counters of the kernel path into sums by listener, endpoint and node that never decrease. Adds the sums to the
 * statistics of the user-space proxy.
 *
 * The kernel counts an endpoint once, whichever frontend a connection came through. An endpoint of two listeners counts
 * for the first of them. Connections between the last update and the removal of an endpoint are missing from its node's
 * sum.
 */
export class KernelCounters {
  readonly #connectionsByListener = new CounterAccumulator();
  readonly #refusedByListener = new CounterAccumulator();
  readonly #sentByNode = new CounterAccumulator();
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

  /** Adds the counts since the last update. Drops the sums of listeners that are gone. */
  update(listeners: Iterable<IngressListener>, statistics: KernelStatistics): void {
    const { listenerKeys, listenersByFrontend, owners } = indexListeners(listeners);
    const findListener = (element: string): string | undefined => owners.get(element)?.listener;
    const findNode = (element: string): string | undefined => {
      const owner = owners.get(element);
      return owner && nodeKey(owner.listener, owner.node);
    };
    this.#connectionsByListener.update(statistics.frontends, (element) => listenersByFrontend.get(element));
    this.#refusedByListener.update(statistics.refused, findListener);
    this.#sentByNode.update(statistics.sent, findNode);
    this.#refusedByNode.update(statistics.refused, findNode);
    this.#latest = statistics;
    this.#dropOtherListeners(listenerKeys);
  }

  /** Counts clients that wait for an endpoint that is gone: they retransmit and get another endpoint. */
  countRetransmitted(
    clients: Iterable<Pick<UnansweredClient, "address" | "port">>,
    listeners: Iterable<IngressListener>,
  ): void {
    const tcpListeners = [...listeners].filter(({ protocol }) => protocol === "tcp");
    for (const { address, port } of clients) {
      const onPort = tcpListeners.filter((listener) => listener.port === port);
      const listener =
        onPort.find((candidate) => candidate.address === address) ??
        onPort.find((candidate) => toFrontend(candidate)?.kind === "port");
      if (listener === undefined) continue;
      const key = listenerKey(listener);
      this.#retransmitted.set(key, (this.#retransmitted.get(key) ?? 0) + 1);
    }
  }

  /** Returns the sum of the user-space proxy's statistics and the kernel's. */
  addTo(stats: readonly ListenerStats[], listeners: Iterable<IngressListener>): readonly ListenerStats[] {
    const listenersByKey = new Map([...listeners].map((listener) => [listenerKey(listener), listener]));
    const countedElements = new Set<string>();
    return stats.map((listenerStats) => {
      const listener = listenersByKey.get(listenerKey(listenerStats));
      return this.#addToListener(listenerStats, listener, countedElements);
    });
  }

  /** @param countedElements endpoints that are counted already; the endpoints of this listener are added */
  #addToListener(
    stats: ListenerStats,
    listener: IngressListener | undefined,
    countedElements: Set<string>,
  ): ListenerStats {
    const key = listenerKey(stats);
    const elementById = new Map(listener && [...elementsOf(listener)].map(([name, { id }]) => [id, name]));
    const endpoints = stats.endpoints.map((endpoint) => {
      const element = elementById.get(endpoint.id);
      if (element === undefined || countedElements.has(element)) return endpoint;
      countedElements.add(element);
      return this.#addToEndpoint(endpoint, element);
    });
    return {
      ...stats,
      total: stats.total + this.#recordConnections(key),
      active: stats.active + sumActive(endpoints) - sumActive(stats.endpoints),
      retried: stats.retried + this.#countRetried(key),
      endpoints,
      nodes: stats.nodes.map(({ node, total, failed }) => ({
        node,
        total: total + this.#sentByNode.getSum(nodeKey(key, node)),
        failed: failed + this.#refusedByNode.getSum(nodeKey(key, node)),
      })),
    };
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

  #countRetried(key: string): number {
    return this.#refusedByListener.getSum(key) + (this.#retransmitted.get(key) ?? 0);
  }

  /**
   * Returns the number of connections of a listener, and records it as reported. A retried connection counts once. Its
   * refusal may be read before the connection, so a lower number than the last one is not reported.
   */
  #recordConnections(key: string): number {
    const counted = this.#connectionsByListener.getSum(key) - this.#countRetried(key);
    const connections = Math.max(this.#reported.get(key) ?? 0, counted);
    this.#reported.set(key, connections);
    return connections;
  }

  #dropOtherListeners(listenerKeys: ReadonlySet<string>): void {
    for (const accumulator of [this.#connectionsByListener, this.#refusedByListener]) {
      accumulator.keepOnly((key) => listenerKeys.has(key));
    }
    for (const accumulator of [this.#sentByNode, this.#refusedByNode]) {
      accumulator.keepOnly((key) => listenerKeys.has(listenerOfNodeKey(key)));
    }
    for (const counts of [this.#reported, this.#retransmitted]) {
      for (const key of counts.keys()) if (!listenerKeys.has(key)) counts.delete(key);
    }
  }
}

/** The listener and node that an endpoint's counters belong to. */
interface Owner {
  readonly listener: string;
  readonly node: string;
}

interface ListenerIndex {
  readonly listenerKeys: ReadonlySet<string>;
  /** Listener keys, by the frontend's nftables element. */
  readonly listenersByFrontend: ReadonlyMap<string, string>;
  /** By the endpoint's nftables element. */
  readonly owners: ReadonlyMap<string, Owner>;
}

function indexListeners(listeners: Iterable<IngressListener>): ListenerIndex {
  const listenerKeys = new Set<string>();
  const listenersByFrontend = new Map<string, string>();
  const owners = new Map<string, Owner>();
  for (const listener of listeners) {
    const key = listenerKey(listener);
    listenerKeys.add(key);
    const frontend = toFrontend(listener);
    if (frontend !== undefined) listenersByFrontend.set(frontendElement(frontend), key);
    for (const [element, { node = "" }] of elementsOf(listener)) {
      if (!owners.has(element)) owners.set(element, { listener: key, node });
    }
  }
  return { listenerKeys, listenersByFrontend, owners };
}

/** Yields the endpoints that the kernel reaches, with their nftables elements. */
function* elementsOf({
  protocol,
  endpoints,
  draining,
}: IngressListener): Generator<readonly [element: string, endpoint: IngressEndpoint]> {
  for (const endpoint of [...endpoints, ...draining]) {
    const kernelEndpoint = toKernelEndpoint(endpoint);
    if (kernelEndpoint !== undefined) yield [endpointElement(protocol, kernelEndpoint), endpoint];
  }
}

function nodeKey(listener: string, node: string): string {
  return `${listener}${SEPARATOR}${node}`;
}

function listenerOfNodeKey(key: string): string {
  return key.slice(0, key.indexOf(SEPARATOR));
}

function sumActive(endpoints: readonly EndpointStats[]): number {
  return endpoints.reduce((sum, { active }) => sum + active, 0);
}
