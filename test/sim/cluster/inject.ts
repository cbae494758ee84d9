import { assertNever } from "@berth/proto";
import { type Fault, LEADER, type ServerTarget } from "../history/history.js";
import type { Actor } from "../simulator/actor.js";
import { ETCD_HOST } from "../store/sim-etcd.js";
import type { Cluster } from "./cluster.js";
import type { SimHost } from "./sim-host.js";
import type { SimServer } from "./sim-server.js";

/** Ends a fault. */
type Undo = () => void;
/** For faults that do not last. */
const NO_UNDO: Undo = () => {};

/** Starts a fault. The returned function ends it. */
export function injectFault(fault: Fault, cluster: Cluster): Undo {
  const { world } = cluster;
  const { etcd, network } = world;
  switch (fault.kind) {
    case "crash-server":
    case "stop-server":
    case "pause-server":
    case "slow-server":
    case "server-clock-jump":
      return injectServer(fault, serverOf(fault, cluster), cluster);
    case "etcd-pause":
      world.scheduler.pause(etcd.actor);
      return () => world.scheduler.resume(etcd.actor);
    case "etcd-flaky":
      etcd.flakiness = fault.probability;
      return () => {
        etcd.flakiness = 0;
      };
    case "etcd-compact":
      etcd.compact();
      etcd.breakWatches();
      return NO_UNDO;
    case "etcd-watches-break":
      etcd.breakWatches();
      return NO_UNDO;
    case "slow-network":
      network.slownessMs = fault.delayMs;
      return () => {
        network.slownessMs = 0;
      };
    case "partition":
      return partition(
        cluster,
        hostNameOf(fault.from, cluster),
        [hostNameOf(fault.to, cluster)],
        fault.isBothWays,
      );
    default:
      return injectHost(fault, cluster.hosts[fault.host], cluster);
  }
}

type ServerFault = Extract<Fault, ServerTarget>;
type HostFault = Extract<Fault, { readonly host: number }>;

function serverOf({ server }: ServerTarget, { servers, world }: Cluster): SimServer | undefined {
  if (server !== LEADER) return servers[server];
  return servers.find(({ address }) => address === world.leaderAddress) ?? servers[0];
}

function hostNameOf(name: string, cluster: Cluster): string {
  return name === LEADER ? (serverOf({ server: LEADER }, cluster)?.host ?? name) : name;
}

function injectServer(fault: ServerFault, server: SimServer | undefined, { world }: Cluster): Undo {
  const actor = server?.actor;
  if (server === undefined || actor === undefined) return NO_UNDO;
  switch (fault.kind) {
    case "crash-server":
      server.crash();
      return () => server.start();
    case "stop-server":
      server.stop();
      return () => server.start();
    case "pause-server":
      world.scheduler.pause(actor);
      return () => world.scheduler.resume(actor);
    case "slow-server":
      return slow(actor, fault.turnMs);
    case "server-clock-jump":
      world.skews.set(server.host, fault.byMs);
      return NO_UNDO;
    default:
      return assertNever(fault);
  }
}

function injectHost(fault: HostFault, host: SimHost | undefined, cluster: Cluster): Undo {
  const { world } = cluster;
  if (host === undefined) return NO_UNDO;
  const { docker, agent } = host;
  switch (fault.kind) {
    case "crash-agent":
      host.crashAgent();
      return () => host.startAgent();
    case "stop-agent":
      host.stopAgent();
      return () => host.startAgent();
    case "pause-agent":
      if (agent === undefined) return NO_UNDO;
      world.scheduler.pause(agent);
      return () => world.scheduler.resume(agent);
    case "slow-agent":
      return agent === undefined ? NO_UNDO : slow(agent, fault.turnMs);
    case "power-cut":
      return cutPower(host, cluster);
    case "reinstalled": {
      const undo = cutPower(host, cluster);
      host.wipe();
      return undo;
    }
    case "cable":
      return partition(cluster, host.name, otherHosts(host.name, cluster), true);
    case "clock-jump":
      world.skews.set(host.name, fault.byMs);
      return NO_UNDO;
    case "docker-restart":
      host.restartDocker(fault.forMs);
      return NO_UNDO;
    case "docker-hang": {
      const { daemon } = docker;
      world.scheduler.pause(daemon);
      return () => world.scheduler.resume(daemon);
    }
    case "docker-flaky":
      docker.flakiness = fault.probability;
      return () => {
        docker.flakiness = 0;
      };
    case "docker-slow":
      docker.slowness = fault.factor;
      return () => {
        docker.slowness = 1;
      };
    case "container-crash":
    case "container-removed":
      endContainer(fault, host);
      return NO_UNDO;
    case "reset-connections":
      world.network.reset(host.name);
      return NO_UNDO;
    default:
      return assertNever(fault);
  }
}

function slow(actor: Actor, turnMs: number): Undo {
  actor.turnMs = turnMs;
  return () => {
    actor.turnMs = 0;
  };
}

/** Cuts the power of a host and of the servers on it. */
function cutPower(host: SimHost, { servers }: Cluster): Undo {
  const hostedServers = servers.filter((server) => server.host === host.name);
  for (const server of hostedServers) server.crash();
  host.cutPower();
  return () => {
    host.restorePower();
    for (const server of hostedServers) server.start();
  };
}

function partition({ world }: Cluster, from: string, others: readonly string[], isBothWays: boolean): Undo {
  const { network, trace } = world;
  trace.note("network", `${from} ${isBothWays ? "<->" : "->"} ${others.join(", ")} cut`);
  for (const other of others) {
    network.block(from, other);
    if (isBothWays) network.block(other, from);
  }
  return () => {
    trace.note("network", `${from} ${isBothWays ? "<->" : "->"} ${others.join(", ")} healed`);
    for (const other of others) {
      network.unblock(from, other);
      if (isBothWays) network.unblock(other, from);
    }
  };
}

function otherHosts(name: string, { hosts, servers }: Cluster): readonly string[] {
  const all = new Set([
    ETCD_HOST,
    "user",
    ...hosts.map((host) => host.name),
    ...servers.map(({ host }) => host),
  ]);
  all.delete(name);
  return [...all];
}

function endContainer(
  fault: Extract<HostFault, { kind: "container-crash" | "container-removed" }>,
  { docker }: SimHost,
): void {
  const victim = [...docker.containers.values()].find(({ taskId, isRunning }) => taskId !== "" && isRunning);
  if (victim === undefined) return;
  if (fault.kind === "container-crash") docker.crash(victim, fault.exitCode);
  else docker.remove(victim.id);
}
