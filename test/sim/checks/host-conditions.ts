import { type Node, NodeState } from "@berth/proto";
import type { Cluster } from "../cluster/cluster.js";
import type { SimHost } from "../cluster/sim-host.js";
import type { Records } from "./records.js";

/** I3: so long after a host is back, nothing is excused any more. */
export const HEAL_MS = 10_000;

/** Which hosts the control plane can be expected to have in hand, and since when. */
export class HostConditions {
  readonly #cluster: Cluster;
  readonly #records: Records;
  readonly #troubledAtMs = new Map<string, number>();
  readonly #agentlessAtMs = new Map<string, number>();
  readonly #sickAtMs = new Map<string, number>();
  readonly #muteAtMs = new Map<string, number>();
  /** Hosts of which the cluster has no node: nobody answers for what they run. */
  readonly #strangeAtMs = new Map<string, number>();
  /** Hosts that were ready once: before that they have nothing that could be wrong. */
  readonly #joined = new Set<string>();
  #leader: string | undefined;

  constructor(cluster: Cluster, records: Records) {
    this.#cluster = cluster;
    this.#records = records;
  }

  /** To be called often: trouble that nobody looks at is not seen. */
  update(): void {
    const { hosts, world } = this.#cluster;
    const isLeaderNew = this.#leader !== this.#records.leader;
    this.#leader = this.#records.leader;
    for (const host of hosts) {
      if (isLeaderNew || this.#isMute(host)) this.#muteAtMs.set(host.name, world.scheduler.nowMs);
      if (isAgentless(host)) this.#agentlessAtMs.set(host.name, world.scheduler.nowMs);
      if (this.#isSick(host)) this.#sickAtMs.set(host.name, world.scheduler.nowMs);
      if (this.#records.nodes.get(host.nodeId)?.state === NodeState.READY) this.#joined.add(host.name);
      if (!this.#records.nodes.has(host.nodeId)) this.#strangeAtMs.set(host.name, world.scheduler.nowMs);
      if (this.#joined.has(host.name) && this.#isInTrouble(host))
        this.#troubledAtMs.set(host.name, world.scheduler.nowMs);
    }
  }

  /** True while its containers may be others than the control plane believes. */
  isDisrupted(host: string): boolean {
    const atMs = this.#troubledAtMs.get(host);
    return atMs !== undefined && this.#cluster.world.scheduler.nowMs - atMs < HEAL_MS;
  }

  /** Somebody has taken its node out of the cluster: what it still runs has parts of networks that others may have. */
  isUnknownNode(host: string): boolean {
    const atMs = this.#strangeAtMs.get(host);
    return atMs !== undefined && this.#cluster.world.scheduler.nowMs - atMs < HEAL_MS;
  }

  /** Its agent can be relied on to stop what must not run, cut off or not. */
  hasResponsiveAgent(host: string): boolean {
    const atMs = this.#agentlessAtMs.get(host);
    return atMs === undefined || this.#cluster.world.scheduler.nowMs - atMs >= HEAL_MS;
  }

  /** For how long its agent could tell the leader, and the leader etcd, what happens there. */
  reportingForMs(host: string): number {
    return this.#cluster.world.scheduler.nowMs - (this.#muteAtMs.get(host) ?? 0);
  }

  /** It takes part in everything, and has done so for long enough. */
  isHealthy(host: string): boolean {
    const atMs = this.#sickAtMs.get(host);
    const isSick = atMs !== undefined && this.#cluster.world.scheduler.nowMs - atMs < HEAL_MS;
    return !isSick && !this.isDisrupted(host);
  }

  /** A host that nothing is wrong with must not be called dead, whatever happens to the servers. */
  checkNodeDown(nodeId: string, before: Node, report: (promise: string, what: string) => void): void {
    if (before.state !== NodeState.READY || this.#records.nodes.get(nodeId)?.state !== NodeState.DOWN) return;
    const host = this.#cluster.hosts.find((each) => each.nodeId === nodeId);
    const sickMs = this.#sickAtMs.get(host?.name ?? "");
    const { nowMs } = this.#cluster.world.scheduler;
    if (host === undefined || (sickMs !== undefined && nowMs - sickMs < HEAL_MS)) return;
    const why = this.#records.nodes.get(nodeId)?.stateMessage;
    report("D1", `${host.name} is called dead though it lives and is reached (${why})`);
  }

  /** The host or its agent, or the way to any server; or servers that are too slow to tell. */
  #isSick({ name, hasPower, agent }: SimHost): boolean {
    const { servers, world } = this.#cluster;
    if (!hasPower || agent === undefined || !agent.isAlive || agent.isPaused || agent.turnMs > 0) return true;
    if (world.network.slownessMs > 0 || world.etcd.actor.isPaused) return true;
    return servers.some(({ host, actor }) => {
      const isSlow = actor?.isAlive === true && (actor.isPaused || actor.turnMs > 0);
      return isSlow || !world.network.reaches(name, host) || !world.network.reaches(host, name);
    });
  }

  /**
   * Anything between its Docker and etcd is broken or slow, or its agent has not tried again to reach its Docker. A
   * server that stands still keeps its agents' sessions.
   */
  #isMute(host: SimHost): boolean {
    const { flakiness } = this.#cluster.world.etcd;
    if (this.#records.nodes.get(host.nodeId)?.description?.engineReady !== true) return true;
    return this.#isInTrouble(host) || this.#isSick(host) || host.docker.slowness > 1 || flakiness > 0;
  }

  #isInTrouble(host: SimHost): boolean {
    const { agent, docker, nodeId } = host;
    if (!host.hasPower || agent === undefined || !agent.isAlive || agent.isPaused || agent.turnMs > 0)
      return true;
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

/** Its agent cannot act, or its Docker does not obey at once. */
function isAgentless({ agent, docker, hasPower }: SimHost): boolean {
  if (!hasPower || agent === undefined || !agent.isAlive || agent.isPaused || agent.turnMs > 0) return true;
  return !docker.daemon.isAlive || docker.daemon.isPaused || docker.flakiness > 0 || docker.slowness > 1;
}
