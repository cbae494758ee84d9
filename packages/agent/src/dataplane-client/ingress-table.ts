import {
  type IngressEndpoint,
  type IngressEntry,
  PortSpec_Protocol,
  TrafficSpec_Affinity,
  TrafficSpec_Balance,
} from "@berth/proto";
import type {
  IngressEndpoint as Endpoint,
  IngressListener,
  KernelRoute,
  TrafficRules,
} from "../dataplane/table/ingress-table.js";
import { sameListener } from "../dataplane/table/table-diff.js";

/** Addresses of the other nodes that connections go to, by node id. */
export function peersIn(entries: readonly IngressEntry[], ownNodeId: string): ReadonlyMap<string, string> {
  const peers = new Map<string, string>();
  for (const { endpoints } of entries) {
    for (const { nodeId, address } of endpoints) if (nodeId !== ownNodeId) peers.set(nodeId, address);
  }
  return peers;
}

/** How the kernel may bring connections to an endpoint; undefined: not at all. */
export type RouteTo = (endpoint: IngressEndpoint, protocol: PortSpec_Protocol) => KernelRoute | undefined;

/** Whether an endpoint is known here to answer no more, before the leader has said so. */
export type HasEnded = (endpoint: IngressEndpoint) => boolean;

const AFAR: KernelRoute = { kind: "forward" };

/** Routes of this node: its own containers are reached directly. Without an id every endpoint is elsewhere. */
export function routesOf(
  nodeId: string,
  localRoute: (endpoint: IngressEndpoint, protocol: PortSpec_Protocol) => KernelRoute | undefined,
): RouteTo {
  return (endpoint, protocol) => (endpoint.nodeId === nodeId ? localRoute(endpoint, protocol) : AFAR);
}

/**
 * What the leader says of the published ports, in the words of the ingress process. A port of which nothing has
 * changed keeps its object, so that a table of a thousand is not compared endpoint by endpoint.
 */
export class IngressListeners {
  readonly #routeTo: RouteTo;
  readonly #hasEnded: HasEnded;
  readonly #made = new WeakMap<IngressEntry, IngressListener>();

  constructor(routeTo: RouteTo = () => AFAR, hasEnded: HasEnded = () => false) {
    this.#routeTo = routeTo;
    this.#hasEnded = hasEnded;
  }

  of(entries: readonly IngressEntry[]): readonly IngressListener[] {
    return entries.map((entry) => this.#listener(entry));
  }

  #listener(entry: IngressEntry): IngressListener {
    const made = this.#made.get(entry);
    if (made !== undefined && this.#isAllAfar(made, entry)) return made;
    const listener = toListener(this.#withoutEnded(entry), this.#routeTo);
    if (made !== undefined && sameListener(made, listener)) return made;
    this.#made.set(entry, listener);
    return listener;
  }

  /** One that may be answered is better than none. */
  #withoutEnded(entry: IngressEntry): IngressEntry {
    const endpoints = entry.endpoints.filter((endpoint) => !this.#hasEnded(endpoint));
    return endpoints.length === 0 ? entry : { ...entry, endpoints };
  }

  /** Without one of this host's own containers nothing but the entry decides. */
  #isAllAfar(made: IngressListener, { endpoints }: IngressEntry): boolean {
    const isAfar = ({ route }: Endpoint): boolean => route?.kind === "forward";
    if (made.endpoints.length < endpoints.length) return false;
    return made.endpoints.every(isAfar) && made.draining.every(isAfar);
  }
}

function toListener(entry: IngressEntry, routeTo: RouteTo): IngressListener {
  const toEndpoint = (endpoint: IngressEndpoint): Endpoint => {
    const { taskId, nodeId, address, port } = endpoint;
    const route = routeTo(endpoint, entry.protocol);
    return { id: taskId, node: nodeId, address, port, ...(route === undefined ? {} : { route }) };
  };
  const traffic = trafficRules(entry);
  return {
    protocol: entry.protocol === PortSpec_Protocol.UDP ? "udp" : "tcp",
    address: entry.hostIp,
    port: entry.published,
    service: entry.serviceName,
    ...(entry.stack === "" ? {} : { stack: entry.stack }),
    endpoints: entry.endpoints.map(toEndpoint),
    draining: entry.draining.map(toEndpoint),
    ...(traffic === undefined ? {} : { traffic }),
  };
}

function trafficRules({ traffic }: IngressEntry): TrafficRules | undefined {
  if (traffic === undefined) return undefined;
  return {
    proxyProtocol: traffic.proxyProtocol,
    affinity: traffic.affinity === TrafficSpec_Affinity.SOURCE ? "source" : "none",
    balance: traffic.balance === TrafficSpec_Balance.LEAST_CONNECTIONS ? "least-connections" : "round-robin",
  };
}
