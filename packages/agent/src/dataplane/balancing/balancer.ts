import { assertNever } from "@berth/proto";
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
import { addRefusal, isNotListening, type Refusals } from "./refusals.js";
import { bucketOf, rendezvous } from "./rendezvous.js";
import { Rotation } from "./rotation.js";

/** A TCP connection or a UDP flow to an endpoint. */
export interface ActiveConnection {
  /** Ends the connection at once with an error, because its endpoint was removed. */
  abort(): void;
}

/** The state that one listener of the user-space proxy keeps for one of its endpoints. */
export class Upstream {
  readonly endpoint: IngressEndpoint;
  readonly connections = new Set<ActiveConnection>();
  health: EndpointHealth = HEALTHY;
  /** Refused attempts since the last connection. Undefined if there were none. */
  refusals: Refusals | undefined;
  /** May change while a connection attempt is pending. Only a serving upstream may take the connection. */
  state: "serving" | "draining" | "removed" = "serving";
  total = 0;
  failed = 0;

  constructor(endpoint: IngressEndpoint) {
    this.endpoint = endpoint;
  }
}

/** Picks an endpoint for each new connection of one listener, and ejects endpoints that fail. Has no timers or I/O. */
export class Balancer {
  readonly #rotation = new Rotation<Upstream>();
  /** The upstreams by {@link endpointKey}. */
  readonly #upstreams = new Map<string, Upstream>();
  /** Counters of removed endpoints, by node. Bounded by the number of nodes. */
  readonly #removedCounts = new Map<string, NodeCounts>();
  #ejections = 0;
  #traffic: TrafficRules | undefined;
  readonly #isSuspect: (node: string | undefined) => boolean;

  constructor(isSuspect: (node: string | undefined) => boolean = () => false) {
    this.#isSuspect = isSuspect;
  }

  /** Replaces the endpoints. Returns the removed ones; the caller aborts their connections. */
  update(
    endpoints: readonly IngressEndpoint[],
    draining: readonly IngressEndpoint[],
    traffic?: TrafficRules,
  ): readonly Upstream[] {
    this.#traffic = traffic;
    const removed = new Map(this.#upstreams);
    const serving = endpoints.map((endpoint) => this.#putUpstream(endpoint, removed, "serving"));
    const servingIds = new Set(endpoints.map(({ id }) => id));
    for (const endpoint of draining) {
      if (!servingIds.has(endpoint.id)) this.#putUpstream(endpoint, removed, "draining");
    }
    for (const [key, upstream] of removed) {
      upstream.state = "removed";
      this.#upstreams.delete(key);
      addCounts(this.#removedCounts, upstream);
    }
    this.#rotation.replace(serving);
    return [...removed.values()];
  }

  /**
   * Returns the endpoint for the next attempt, or undefined if all are in `tried`.
   *
   * Skips ejected endpoints and suspect nodes as long as another endpoint is left: this host's own suspicion must never
   * fail a connection. After a failed attempt, endpoints on other nodes come first, because often the node is down.
   * `clientAddress` is called only when the affinity depends on it.
   */
  pick(nowMs: number, tried: readonly Upstream[], clientAddress: () => string): Upstream | undefined {
    const isUntried = (candidate: Upstream): boolean => !tried.includes(candidate);
    const isTrusted = (candidate: Upstream): boolean =>
      isUntried(candidate) && this.#isTrusted(candidate, nowMs);
    const isOnOtherNode = (candidate: Upstream): boolean =>
      isTrusted(candidate) && !tried.some(({ endpoint }) => haveSameNode(endpoint, candidate.endpoint));
    const upstream =
      (tried.length > 0 ? this.#choose(isOnOtherNode, clientAddress) : undefined) ??
      this.#choose(isTrusted, clientAddress) ??
      this.#choose(isUntried, clientAddress);
    if (upstream !== undefined && needsProbe(upstream.health, nowMs)) {
      upstream.health = startProbe(upstream.health, nowMs);
    }
    return upstream;
  }

  /** Returns the upstream with this {@link endpointKey}. */
  find(key: string): Upstream | undefined {
    return this.#upstreams.get(key);
  }

  /** Records that the endpoint accepted a connection. */
  recordSuccess(upstream: Upstream): void {
    upstream.health = HEALTHY;
    upstream.refusals = undefined;
  }

  /** Records an attempt that the endpoint's host refused, and ejects the endpoint. */
  recordRefusal(upstream: Upstream, nowMs: number): void {
    upstream.refusals = addRefusal(upstream.refusals, nowMs);
    this.recordFailure(upstream, nowMs);
  }

  /** Returns whether there are endpoints, and none of them listens on its port. */
  isRefusing(nowMs: number): boolean {
    const { members } = this.#rotation;
    return members.length > 0 && members.every(({ refusals }) => isNotListening(refusals, nowMs));
  }

  /** Records a failed attempt and ejects the endpoint. */
  recordFailure(upstream: Upstream, nowMs: number): void {
    upstream.failed += 1;
    if (upstream.health.failures === 0) this.#ejections += 1;
    upstream.health = afterFailure(upstream.health, nowMs);
  }

  /** Counts an ejection for each endpoint on nodes that have just become suspect. */
  countSuspectEjections(nodes: ReadonlySet<string>): void {
    for (const { endpoint } of this.#rotation.members) {
      if (nodes.has(endpoint.node ?? "")) this.#ejections += 1;
    }
  }

  stats(nowMs: number): Pick<ListenerStats, "endpoints" | "nodes" | "ejections"> {
    const endpoints = [...this.#upstreams.values()].map(
      (upstream): EndpointStats => ({
        ...upstream.endpoint,
        state: reportedState(upstream, nowMs),
        total: upstream.total,
        active: upstream.connections.size,
        failed: upstream.failed,
      }),
    );
    const nodes = new Map(this.#removedCounts);
    for (const upstream of this.#upstreams.values()) addCounts(nodes, upstream);
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
    const policy = this.#traffic?.balance ?? "round-robin";
    switch (policy) {
      case "round-robin":
        return rotation.next(accepts);
      case "least-connections":
        return rotation.lowest(accepts, ({ connections }) => connections.size);
      default:
        return assertNever(policy);
    }
  }

  #isTrusted({ endpoint, health }: Upstream, nowMs: number): boolean {
    return !isEjected(health, nowMs) && !this.#isSuspect(endpoint.node);
  }

  /** Adds or updates the upstream of an endpoint, and deletes it from `removed`. */
  #putUpstream(
    endpoint: IngressEndpoint,
    removed: Map<string, Upstream>,
    state: "serving" | "draining",
  ): Upstream {
    const key = endpointKey(endpoint);
    const upstream = this.#upstreams.get(key) ?? new Upstream(endpoint);
    this.#upstreams.set(key, upstream);
    removed.delete(key);
    upstream.state = state;
    return upstream;
  }
}

function reportedState({ state, health }: Upstream, nowMs: number): EndpointStats["state"] {
  if (state !== "serving") return "draining";
  return isEjected(health, nowMs) ? "ejected" : "serving";
}

function addCounts(nodes: Map<string, NodeCounts>, { endpoint, total, failed }: Upstream): void {
  const node = endpoint.node ?? "";
  const sameNode = nodes.get(node);
  nodes.set(node, { node, total: total + (sameNode?.total ?? 0), failed: failed + (sameNode?.failed ?? 0) });
}

function haveSameNode(a: IngressEndpoint, b: IngressEndpoint): boolean {
  return a.node !== undefined && a.node === b.node;
}
