import { assertNever } from "@berth/proto";
import { type Fault, LEADER, type ServerTarget } from "../history/history.js";
import type { Actor } from "../simulator/actor.js";
import { ETCD_HOST } from "../store/sim-etcd.js";
import type { Cluster } from "./cluster.js";
import type { SimHost } from "./sim-host.js";
import type { SimServer } from "./sim-server.js";

type Undo = () => void;
const NOTHING: Undo = () => {};

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
      return NOTHING;
    case "etcd-watches-break":
      etcd.breakWatches();
      return NOTHING;
    case "slow-network":
      network.slownessMs = fault.delayMs;
      return () => {
        network.slownessMs = 0;
      };
    case "partition":
      return part(cluster, hostOf(fault.from, cluster), [hostOf(fault.to, cluster)], fault.isBothWays);
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

function hostOf(name: string, cluster: Cluster): string {
  return name === LEADER ? (serverOf({ server: LEADER }, cluster)?.host ?? name) : name;
}

function injectServer(fault: ServerFault, server: SimServer | undefined, { world }: Cluster): Undo {
  const actor = server?.actor;
  if (server === undefined || actor === undefined) return NOTHING;
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
      return NOTHING;
    default:
      return assertNever(fault);
  }
}

function injectHost(fault: HostFault, host: SimHost | undefined, cluster: Cluster): Undo {
  const { world } = cluster;
  if (host === undefined) return NOTHING;
  const { docker, agent } = host;
  switch (fault.kind) {
    case "crash-agent":
      host.crashAgent();
      return () => host.startAgent();
    case "stop-agent":
      host.stopAgent();
      return () => host.startAgent();
    case "pause-agent":
      if (agent === undefined) return NOTHING;
      world.scheduler.pause(agent);
      return () => world.scheduler.resume(agent);
    case "slow-agent":
      return agent === undefined ? NOTHING : slow(agent, fault.turnMs);
    case "power-cut":
      return cutPower(host, cluster);
    case "reinstalled": {
      const undo = cutPower(host, cluster);
      host.wipe();
      return undo;
    }
    case "cable":
      return part(cluster, host.name, everybodyBut(host.name, cluster), true);
    case "clock-jump":
      world.skews.set(host.name, fault.byMs);
      return NOTHING;
    case "docker-restart":
      host.restartDocker(fault.forMs);
      return NOTHING;
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
      loseContainer(fault, host);
      return NOTHING;
    case "reset-connections":
      world.network.reset(host.name);
      return NOTHING;
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
  const there = servers.filter((server) => server.host === host.name);
  for (const server of there) server.crash();
  host.cutPower();
  return () => {
    host.restorePower();
    for (const server of there) server.start();
  };
}

function part({ world }: Cluster, from: string, others: readonly string[], isBothWays: boolean): Undo {
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

function everybodyBut(name: string, { hosts, servers }: Cluster): readonly string[] {
  const all = new Set([
    ETCD_HOST,
    "user",
    ...hosts.map((host) => host.name),
    ...servers.map(({ host }) => host),
  ]);
  all.delete(name);
  return [...all];
}

function loseContainer(
  fault: Extract<HostFault, { kind: "container-crash" | "container-removed" }>,
  { docker }: SimHost,
): void {
  const victim = [...docker.containers.values()].find(({ taskId, isRunning }) => taskId !== "" && isRunning);
  if (victim === undefined) return;
  if (fault.kind === "container-crash") docker.crash(victim, fault.exitCode);
  else docker.remove(victim.id);
}
