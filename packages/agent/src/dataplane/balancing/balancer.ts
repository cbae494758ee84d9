import {
  type EndpointStats,
  endpointKey,
  type IngressEndpoint,
  type ListenerStats,
  type NodeCounts,
  type TrafficRules,
} from "../table/ingress-table.js";
import {
  afterFailure,
  type EndpointHealth,
  HEALTHY,
  isEjected,
  needsProbe,
  startProbe,
} from "./endpoint-health.js";
import { bucketOf, rendezvous } from "./rendezvous.js";
import { Rotation } from "./rotation.js";

/** What an endpoint carries: a TCP connection or a UDP flow. */
export interface Carried {
  /** The endpoint is gone: end at once, so that the client notices. */
  abort(): void;
}

/** An endpoint as this listener knows it. Lives as long as the endpoint is in the listener's table. */
export class Upstream {
  readonly endpoint: IngressEndpoint;
  readonly carried = new Set<Carried>();
  health: EndpointHealth = HEALTHY;
  /** Only a serving endpoint takes new connections, also when the attempt began before that changed. */
  state: "serving" | "draining" | "gone" = "serving";
  total = 0;
  failed = 0;

  constructor(endpoint: IngressEndpoint) {
    this.endpoint = endpoint;
  }
}

/** Chooses an endpoint for each new connection of one listener and remembers which ones fail. No clock, no sockets. */
export class Balancer {
  readonly #rotation = new Rotation<Upstream>();
  readonly #upstreams = new Map<string, Upstream>();
  /** What endpoints did that are gone, by node: as many as nodes ever served here. */
  readonly #past = new Map<string, NodeCounts>();
  #ejections = 0;
  #traffic: TrafficRules | undefined;
  readonly #isSuspect: (node: string | undefined) => boolean;

  constructor(isSuspect: (node: string | undefined) => boolean = () => false) {
    this.#isSuspect = isSuspect;
  }

  /** Takes over new lists; returns the endpoints that are in neither, for the caller to abort what they carry. */
  update(
    endpoints: readonly IngressEndpoint[],
    draining: readonly IngressEndpoint[],
    traffic?: TrafficRules,
  ): readonly Upstream[] {
    this.#traffic = traffic;
    const gone = new Map(this.#upstreams);
    const serving = endpoints.map((endpoint) => this.#keep(endpoint, gone, "serving"));
    for (const endpoint of draining) {
      if (!serving.some((upstream) => upstream.endpoint.id === endpoint.id))
        this.#keep(endpoint, gone, "draining");
    }
    for (const [key, upstream] of gone) {
      upstream.state = "gone";
      this.#upstreams.delete(key);
      addTo(this.#past, upstream);
    }
    this.#rotation.replace(serving);
    return [...gone.values()];
  }

  /**
   * The endpoint whose turn it is, or the one that the service's rules name. Ejected ones and those on suspect nodes are
   * passed over while others remain; when none remains they are offered all the same, since our own suspicion must never
   * fail a connection. Nodes of those in `tried` come after others: often it is the node, and what is left of the
   * client's patience would go into its next replica. Undefined: all are in `tried`. `clientAddress` is asked for where
   * the choice depends on it.
   */
  pick(nowMs: number, tried: readonly Upstream[], clientAddress: () => string): Upstream | undefined {
    const isFresh = (candidate: Upstream): boolean => !tried.includes(candidate);
    const isTrusted = (candidate: Upstream): boolean =>
      isFresh(candidate) && this.#isTrusted(candidate, nowMs);
    const isElsewhere = (candidate: Upstream): boolean =>
      isTrusted(candidate) && !tried.some(({ endpoint }) => isOnOneNode(endpoint, candidate.endpoint));
    const upstream =
      (tried.length > 0 ? this.#choose(isElsewhere, clientAddress) : undefined) ??
      this.#choose(isTrusted, clientAddress) ??
      this.#choose(isFresh, clientAddress);
    if (upstream !== undefined && needsProbe(upstream.health, nowMs)) {
      upstream.health = startProbe(upstream.health, nowMs);
    }
    return upstream;
  }

  /** An endpoint of the lists, by its {@link endpointKey}. */
  find(key: string): Upstream | undefined {
    return this.#upstreams.get(key);
  }

  /** How many endpoints may be tried at all. */
  get size(): number {
    return this.#rotation.members.length;
  }

  /** The endpoint has shown that it answers. */
  recovered(upstream: Upstream): void {
    upstream.health = HEALTHY;
  }

  failed(upstream: Upstream, nowMs: number): void {
    upstream.failed += 1;
    if (upstream.health.strikes === 0) this.#ejections += 1;
    upstream.health = afterFailure(upstream.health, nowMs);
  }

  /** Connections avoid these nodes from now on. */
  suspected(nodes: ReadonlySet<string>): void {
    for (const { endpoint } of this.#rotation.members) {
      if (nodes.has(endpoint.node ?? "")) this.#ejections += 1;
    }
  }

  stats(nowMs: number): Pick<ListenerStats, "endpoints" | "nodes" | "ejections"> {
    const endpoints = [...this.#upstreams.values()].map(
      (upstream): EndpointStats => ({
        ...upstream.endpoint,
        state:
          upstream.state !== "serving"
            ? "draining"
            : isEjected(upstream.health, nowMs)
              ? "ejected"
              : "serving",
        total: upstream.total,
        active: upstream.carried.size,
        failed: upstream.failed,
      }),
    );
    const nodes = new Map(this.#past);
    for (const upstream of this.#upstreams.values()) addTo(nodes, upstream);
    return { endpoints, nodes: [...nodes.values()], ejections: this.#ejections };
  }

  #choose(accepts: (candidate: Upstream) => boolean, clientAddress: () => string): Upstream | undefined {
    const rotation = this.#rotation;
    if (this.#traffic?.affinity === "source") {
      const members = rotation.members
        .filter(accepts)
        .map((upstream) => ({ id: upstream.endpoint.id, upstream }));
      return rendezvous(bucketOf(clientAddress()), members)?.upstream;
    }
    if (this.#traffic?.balance === "least-connections") {
      return rotation.lowest(accepts, ({ carried }) => carried.size);
    }
    return rotation.next(accepts);
  }

  #isTrusted({ endpoint, health }: Upstream, nowMs: number): boolean {
    return !isEjected(health, nowMs) && !this.#isSuspect(endpoint.node);
  }

  #keep(endpoint: IngressEndpoint, gone: Map<string, Upstream>, state: "serving" | "draining"): Upstream {
    const key = endpointKey(endpoint);
    const upstream = this.#upstreams.get(key) ?? new Upstream(endpoint);
    this.#upstreams.set(key, upstream);
    gone.delete(key);
    upstream.state = state;
    return upstream;
  }
}

function addTo(nodes: Map<string, NodeCounts>, { endpoint, total, failed }: Upstream): void {
  const node = endpoint.node ?? "";
  const known = nodes.get(node);
  nodes.set(node, { node, total: total + (known?.total ?? 0), failed: failed + (known?.failed ?? 0) });
}

function isOnOneNode(one: IngressEndpoint, other: IngressEndpoint): boolean {
  return one.node !== undefined && one.node === other.node;
}
