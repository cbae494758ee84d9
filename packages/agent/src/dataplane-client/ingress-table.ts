import { isDeepStrictEqual } from "node:util";
import {
  type ContainerAddress,
  type IngressEndpoint,
  type IngressEntry,
  isLoopback,
  type LocalEndpoint,
  PortSpec_Protocol,
  type PublishedListener,
} from "@berth/proto";
import type { ContainerNetwork, ObservedContainer } from "../core/docker/observed-container.js";

const HOST_NETWORK = "host";

/** All listeners of this node's ingress process. The agent sends the table to that process. */
export interface ListenerTable {
  /** Increases with every table, also across restarts of the agent. */
  readonly version: number;
  readonly listeners: readonly PublishedListener[];
}

/** Looks up the tasks of this node that serve endpoints. */
export interface LocalTaskLookup {
  readonly nodeId: string;
  /** The address at which other hosts reach this host. */
  readonly address: string;
  /** Returns undefined if the kernel cannot reach the container. */
  addressOf(endpoint: IngressEndpoint, protocol: PortSpec_Protocol): ContainerAddress | undefined;
  /** Returns whether the task has ended, which the leader may not know yet. */
  hasEnded(endpoint: IngressEndpoint): boolean;
}

/**
 * Builds the listeners of the ingress process from the leader's ingress entries and the tasks of this node. Returns the
 * same object for an unchanged listener, so that a table of thousands of ports can be compared by identity.
 */
export class ListenerBuilder {
  readonly #localTasks: LocalTaskLookup | undefined;
  readonly #cache = new WeakMap<IngressEntry, PublishedListener>();

  /** @param localTasks undefined if the node is not known, so that no endpoint counts as local */
  constructor(localTasks?: LocalTaskLookup) {
    this.#localTasks = localTasks;
  }

  buildAll(entries: readonly IngressEntry[]): readonly PublishedListener[] {
    return entries.map((entry) => this.#build(entry));
  }

  #build(received: IngressEntry): PublishedListener {
    const entry = this.#withoutLoopback(received);
    const cached = this.#cache.get(received);
    const lastEndpoints = cached?.entry?.endpoints ?? entry.endpoints;
    const listener = {
      entry: this.#withoutEnded(entry, lastEndpoints),
      local: this.#localEndpoints(entry),
    };
    if (cached !== undefined && isSame(cached, listener)) return cached;
    this.#cache.set(received, listener);
    return listener;
  }

  /**
   * Removes endpoints of other nodes at a loopback address. Connections to them would reach the programs of this host that
   * listen for local clients only. A host with a loopback address shares its machine with all others.
   */
  #withoutLoopback(entry: IngressEntry): IngressEntry {
    if (this.#localTasks === undefined || isLoopback(this.#localTasks.address)) return entry;
    const isMisdirected = (endpoint: IngressEndpoint): boolean =>
      isLoopback(endpoint.address) && !this.#isLocal(endpoint);
    if (![...entry.endpoints, ...entry.draining].some(isMisdirected)) return entry;
    const [endpoints, draining] = [entry.endpoints, entry.draining].map((list) =>
      list.filter((endpoint) => !isMisdirected(endpoint)),
    );
    return { ...entry, endpoints: endpoints ?? [], draining: draining ?? [] };
  }

  #isLocal(endpoint: IngressEndpoint): boolean {
    return this.#localTasks !== undefined && endpoint.nodeId === this.#localTasks.nodeId;
  }

  #localEndpoints({ endpoints, draining, protocol }: IngressEntry): LocalEndpoint[] {
    const localEndpoints: LocalEndpoint[] = [];
    for (const list of [endpoints, draining]) {
      for (const endpoint of list) {
        if (!this.#isLocal(endpoint)) continue;
        const container = this.#localTasks?.addressOf(endpoint, protocol);
        localEndpoints.push({ taskId: endpoint.taskId, ...(container === undefined ? {} : { container }) });
      }
    }
    return localEndpoints;
  }

  /**
   * Removes ended endpoints, which the leader may list as serving or draining. If every serving one has ended, the
   * endpoints of the last table stay: an attempt that may fail is better than no endpoint. Endpoints that ended before are
   * not added again, since their address may belong to another container by now.
   */
  #withoutEnded(entry: IngressEntry, lastEndpoints: readonly IngressEndpoint[]): IngressEntry {
    const hasEnded = (endpoint: IngressEndpoint): boolean =>
      this.#isLocal(endpoint) && this.#localTasks?.hasEnded(endpoint) === true;
    if (![...entry.endpoints, ...entry.draining].some(hasEnded)) return entry;
    const [endpoints = [], draining = []] = [entry.endpoints, entry.draining].map((list) =>
      list.filter((endpoint) => !hasEnded(endpoint)),
    );
    return { ...entry, endpoints: endpoints.length === 0 ? [...lastEndpoints] : endpoints, draining };
  }
}

function isSame(left: PublishedListener, right: PublishedListener): boolean {
  return (
    (left.entry === right.entry ||
      (isSameList(left.entry?.endpoints, right.entry?.endpoints) &&
        isSameList(left.entry?.draining, right.entry?.draining))) &&
    isDeepStrictEqual(left.local, right.local)
  );
}

function isSameList(left: readonly IngressEndpoint[] = [], right: readonly IngressEndpoint[] = []): boolean {
  return left.length === right.length && left.every((endpoint, index) => endpoint === right[index]);
}

/**
 * Returns the address at which the kernel reaches an endpoint's container on this node, without Docker's port mapping,
 * or undefined if the container is unknown, does not run, or has no network with a gateway.
 */
export function containerAddress(
  { address, port }: Pick<IngressEndpoint, "address" | "port">,
  protocol: PortSpec_Protocol,
  container: Pick<ObservedContainer, "ports" | "networks"> | undefined,
): ContainerAddress | undefined {
  if (container === undefined) return undefined;
  if (container.networks.some(({ name }) => name === HOST_NETWORK)) return { address, port, subnet: "" };
  const isUdp = protocol === PortSpec_Protocol.UDP;
  const published = container.ports.find(
    (candidate) => candidate.hostPort === port && (candidate.protocol === PortSpec_Protocol.UDP) === isUdp,
  );
  const network = defaultNetwork(container.networks);
  if (published === undefined || network === undefined) return undefined;
  return { address: network.address, port: published.target, subnet: network.subnet ?? "" };
}

/**
 * Returns the network through which the container's replies leave: as in Docker, the first by name that has a gateway.
 * A connection through another network would get its replies from the wrong bridge.
 */
function defaultNetwork(networks: readonly ContainerNetwork[]): ContainerNetwork | undefined {
  return networks
    .filter(({ address, gateway = "" }) => address !== "" && gateway !== "")
    .toSorted((left, right) => (left.name < right.name ? -1 : 1))[0];
}
