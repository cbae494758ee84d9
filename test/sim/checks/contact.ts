import { NodeState } from "@berth/proto";
import type { Cluster } from "../cluster/cluster.js";
import type { SimHost } from "../cluster/sim-host.js";
import type { Records } from "./records.js";

/** I3: so long after a host is back, nothing is excused any more. */
export const HEAL_MS = 10_000;

/** Which hosts the control plane can be expected to have in hand, and since when. */
export class Contact {
  readonly #cluster: Cluster;
  readonly #records: Records;
  readonly #troubledAtMs = new Map<string, number>();

  constructor(cluster: Cluster, records: Records) {
    this.#cluster = cluster;
    this.#records = records;
  }

  /** To be called often: trouble that nobody looks at is not seen. */
  look(): void {
    const { hosts, world } = this.#cluster;
    for (const host of hosts) {
      if (this.#isInTrouble(host)) this.#troubledAtMs.set(host.name, world.scheduler.nowMs);
    }
  }

  /** True while its containers may be others than the control plane believes. */
  isExcused(host: string): boolean {
    const atMs = this.#troubledAtMs.get(host);
    return atMs !== undefined && this.#cluster.world.scheduler.nowMs - atMs < HEAL_MS;
  }

  /** Nothing is wrong with any host now. */
  get isQuiet(): boolean {
    return !this.#cluster.hosts.some((host) => this.#isInTrouble(host));
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
