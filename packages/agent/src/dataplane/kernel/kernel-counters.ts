import type { EndpointStats, IngressListener, ListenerStats } from "../table/ingress-table.js";
import { listenerKey } from "../table/ingress-table.js";
import { CounterAccumulator } from "./counter-accumulator.js";
import { endpointElement } from "./kernel-service.js";
import type { KernelStatistics } from "./kernel-statistics.js";
import { frontendElement } from "./kernel-table.js";
import type { Unanswered } from "./unanswered.js";
import { frontendOf, kernelEndpoint } from "./wanted.js";

/** Whose an endpoint's counters are. */
interface Owner {
  readonly listener: string;
  readonly node: string;
}

/**
 * What the kernel has counted, as sums that only grow, though its counters go with endpoints and tables.
 * An endpoint that two ports lead to counts at the first of them: the kernel does not tell by which door a connection
 * came. What comes to an endpoint between the last look and its end is missing from its node's sum, and only there.
 */
export class KernelCounters {
  readonly #doors = new CounterAccumulator();
  readonly #sent = new CounterAccumulator();
  readonly #refused = new CounterAccumulator();
  readonly #refusedByNode = new CounterAccumulator();
  /** Connections by listener that had no answer, and were sent to another endpoint. */
  readonly #repeated = new Map<string, number>();
  /** Connections by listener, as last told. */
  readonly #told = new Map<string, number>();
  #now: KernelStatistics = { doors: new Map(), sent: new Map(), refused: new Map(), active: new Map() };

  look(listeners: Iterable<IngressListener>, statistics: KernelStatistics): void {
    const { doors, sent, refused } = statistics;
    const keyOfDoor = new Map<string, string>();
    const owners = new Map<string, Owner>();
    const keys = new Set<string>();
    for (const listener of listeners) {
      const key = listenerKey(listener);
      keys.add(key);
      const door = frontendOf(listener);
      if (door !== undefined) keyOfDoor.set(frontendElement(door), key);
      for (const [element, { node = "" }] of elementsOf(listener)) {
        if (!owners.has(element)) owners.set(element, { listener: key, node });
      }
    }
    const byNode = (element: string): string | undefined => {
      const owner = owners.get(element);
      return owner && nodeKey(owner.listener, owner.node);
    };
    this.#doors.update(doors, (door) => keyOfDoor.get(door));
    this.#sent.update(sent, byNode);
    this.#refused.update(refused, (element) => owners.get(element)?.listener);
    this.#refusedByNode.update(refused, byNode);
    this.#now = statistics;
    for (const tally of [this.#doors, this.#sent, this.#refused, this.#refusedByNode]) {
      tally.keepOnly((owner) => keys.has(owner.split(SEPARATOR, 1)[0] ?? ""));
    }
    for (const counts of [this.#told, this.#repeated]) {
      for (const key of counts.keys()) if (!keys.has(key)) counts.delete(key);
    }
  }

  /** Clients who waited for an answer of an endpoint that has gone: they ask again, and get another one. */
  repeated(
    clients: Iterable<Pick<Unanswered, "address" | "port">>,
    listeners: Iterable<IngressListener>,
  ): void {
    const tcp = [...listeners].filter(({ protocol }) => protocol === "tcp");
    for (const { address, port } of clients) {
      const listener =
        tcp.find((each) => each.port === port && each.address === address) ??
        tcp.find((each) => each.port === port && frontendOf(each)?.kind === "port");
      if (listener === undefined) continue;
      const key = listenerKey(listener);
      this.#repeated.set(key, (this.#repeated.get(key) ?? 0) + 1);
    }
  }

  /** What the process counted and what the kernel counted, together. */
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
          total: total + this.#sent.sumOf(nodeKey(key, node)),
          failed: failed + this.#refusedByNode.sumOf(nodeKey(key, node)),
        })),
      };
    });
  }

  #addToEndpoint(endpoint: EndpointStats, element: string): EndpointStats {
    const { sent, refused, active } = this.#now;
    return {
      ...endpoint,
      total: endpoint.total + (sent.get(element) ?? 0),
      active: endpoint.active + (active.get(element) ?? 0),
      failed: endpoint.failed + (refused.get(element) ?? 0),
    };
  }

  #retried(key: string): number {
    return this.#refused.sumOf(key) + (this.#repeated.get(key) ?? 0);
  }

  /** One that is tried again is no second one. Its refusal may be seen before itself: a sum must not fall then. */
  #connections(key: string): number {
    const connections = Math.max(this.#told.get(key) ?? 0, this.#doors.sumOf(key) - this.#retried(key));
    this.#told.set(key, connections);
    return connections;
  }
}

const SEPARATOR = " ";

const nodeKey = (listener: string, node: string): string => `${listener}${SEPARATOR}${node}`;

function* elementsOf({
  protocol,
  endpoints,
  draining,
}: IngressListener): Generator<readonly [string, IngressListener["endpoints"][number]]> {
  for (const endpoint of [...endpoints, ...draining]) {
    const reached = kernelEndpoint(endpoint);
    if (reached !== undefined) yield [endpointElement(protocol, reached), endpoint];
  }
}

const sumOf = <Item>(items: readonly Item[], of: (item: Item) => number): number =>
  items.reduce((sum, item) => sum + of(item), 0);
