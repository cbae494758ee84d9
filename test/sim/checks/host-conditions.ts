import { type Node, NodeState } from "@berth/proto";
import type { Cluster } from "../cluster/cluster.js";
import type { SimHost } from "../cluster/sim-host.js";
import type { Records } from "./records.js";

/** Time after its last disturbance for which a host is excused. */
export const RECOVERY_MS = 10_000;

/** Tracks when each host was last disrupted. Rules excuse a host while it cannot follow them. */
export class HostConditions {
  readonly #cluster: Cluster;
  readonly #records: Records;
  readonly #disruptedAtMs = new Map<string, number>();
  readonly #agentlessAtMs = new Map<string, number>();
  readonly #unhealthyAtMs = new Map<string, number>();
  readonly #unreportedAtMs = new Map<string, number>();
  readonly #unknownAtMs = new Map<string, number>();
  /** Hosts that have been ready at least once. Before that, nothing runs on a host. */
  readonly #joined = new Set<string>();
  #leader: string | undefined;

  constructor(cluster: Cluster, records: Records) {
    this.#cluster = cluster;
    this.#records = records;
  }

  /** Updates the conditions. Called often, because a condition that ends between two calls is missed. */
  update(): void {
    const { hosts, world } = this.#cluster;
    const { nowMs } = world.scheduler;
    const isLeaderNew = this.#leader !== this.#records.leader;
    this.#leader = this.#records.leader;
    for (const host of hosts) {
      const { name, nodeId } = host;
      if (isLeaderNew || !this.#canReport(host)) this.#unreportedAtMs.set(name, nowMs);
      if (!isAgentResponsive(host)) this.#agentlessAtMs.set(name, nowMs);
      if (!this.#isHealthyNow(host)) this.#unhealthyAtMs.set(name, nowMs);
      if (this.#records.nodes.get(nodeId)?.state === NodeState.READY) this.#joined.add(name);
      if (!this.#records.nodes.has(nodeId)) this.#unknownAtMs.set(name, nowMs);
      if (this.#joined.has(name) && this.#isDisruptedNow(host)) this.#disruptedAtMs.set(name, nowMs);
    }
  }

  /** Returns whether the host may run containers other than those in the records. */
  isDisrupted(host: string): boolean {
    return this.#isRecent(this.#disruptedAtMs, host);
  }

  /** Returns whether the cluster has no node for the host, so that other hosts may get its network ranges. */
  isUnknownNode(host: string): boolean {
    return this.#isRecent(this.#unknownAtMs, host);
  }

  /**
   * Returns whether the host's agent stops containers that must not run, even while it is disconnected from the leader.
   */
  hasResponsiveAgent(host: string): boolean {
    return !this.#isRecent(this.#agentlessAtMs, host);
  }

  /** Returns for how long the agent could report to the leader, and the leader could write to etcd. */
  reportingForMs(host: string): number {
    return this.#cluster.world.scheduler.nowMs - (this.#unreportedAtMs.get(host) ?? 0);
  }

  /** Returns whether the host, its agent, its connections and the servers have all worked recently. */
  isHealthy(host: string): boolean {
    return !this.#isRecent(this.#unhealthyAtMs, host) && !this.isDisrupted(host);
  }

  /** D1: a host that is alive and reachable is never marked down, whatever happens to the servers. */
  checkNodeDown(nodeId: string, before: Node, report: (rule: string, what: string) => void): void {
    const after = this.#records.nodes.get(nodeId);
    if (before.state !== NodeState.READY || after?.state !== NodeState.DOWN) return;
    const host = this.#cluster.hosts.find((each) => each.nodeId === nodeId);
    if (host === undefined || this.#isRecent(this.#unhealthyAtMs, host.name)) return;
    report("D1", `${host.name} is marked down, but it is alive and reachable (${after.stateMessage})`);
  }

  #isRecent(lastMs: ReadonlyMap<string, number>, host: string): boolean {
    const atMs = lastMs.get(host);
    return atMs !== undefined && this.#cluster.world.scheduler.nowMs - atMs < RECOVERY_MS;
  }

  /** Returns false also if the host cannot reach a server, or if servers are too slow to notice that it can. */
  #isHealthyNow(host: SimHost): boolean {
    const { servers, world } = this.#cluster;
    if (!isAgentRunning(host)) return false;
    if (world.network.slownessMs > 0 || world.etcd.actor.isPaused) return false;
    return servers.every((server) => {
      const isSlow = server.actor?.isAlive === true && (server.actor.isPaused || server.actor.turnMs > 0);
      const { network } = world;
      return !isSlow && network.reaches(host.name, server.host) && network.reaches(server.host, host.name);
    });
  }

  /**
   * Returns false if a component between the host's Docker and etcd is broken or slow, or if the agent has not yet
   * reconnected to Docker. A paused server keeps its agents' sessions.
   */
  #canReport(host: SimHost): boolean {
    const { flakiness } = this.#cluster.world.etcd;
    if (this.#records.nodes.get(host.nodeId)?.description?.engineReady !== true) return false;
    if (this.#isDisruptedNow(host) || !this.#isHealthyNow(host)) return false;
    return host.docker.slowness <= 1 && flakiness === 0;
  }

  #isDisruptedNow(host: SimHost): boolean {
    const { docker, nodeId } = host;
    if (!isAgentRunning(host)) return true;
    if (!docker.daemon.isAlive || docker.daemon.isPaused || docker.flakiness > 0) return true;
    if (this.#records.nodes.get(nodeId)?.state !== NodeState.READY) return true;
    return !this.#reachesLeader(host);
  }

  #reachesLeader({ name }: SimHost): boolean {
    const { servers, world } = this.#cluster;
    const leader = servers.find(({ address }) => address === this.#records.leader);
    if (leader?.actor === undefined || !leader.isUp || leader.actor.isPaused) return false;
    return world.network.reaches(name, leader.host) && world.network.reaches(leader.host, name);
  }
}

function isAgentRunning({ hasPower, agent }: SimHost): boolean {
  return hasPower && agent?.isAlive === true && !agent.isPaused && agent.turnMs === 0;
}

/** Returns whether the agent can act and its Docker responds without delay. */
function isAgentResponsive(host: SimHost): boolean {
  const { daemon, flakiness, slowness } = host.docker;
  return isAgentRunning(host) && daemon.isAlive && !daemon.isPaused && flakiness === 0 && slowness <= 1;
}
