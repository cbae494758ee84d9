import { Rng } from "../simulator/rng.js";
import { withCompanions } from "./companions.js";
import type { Fault, History, HistoryEvent } from "./history.js";
import { hostName, LEADER, serverHost } from "./history.js";
import { withNetworks } from "./networks.js";
import { initialServices, randomAction } from "./services.js";

/** Time to elect a leader, register nodes and deploy the first services before the first fault. */
const FIRST_FAULT_MS = 3_000;
/** Mostly short, so that faults overlap with the effects of earlier ones. Some are long enough for long deadlines. */
const FAULTS_MS = [6_000, 9_000, 12_000, 24_000];
const JUMPS_MS = [-300_000, -5_000, 5_000, 300_000];
const MAX_FAULTS = 10;
const MAX_ACTIONS = 7;

/** Generates a history from a seed: the cluster, the actions of users, and the faults. */
export function generateHistory(seed: number): History {
  const rng = new Rng(`history/${seed}`);
  const servers = rng.pick([1, 2, 3, 3]);
  const hosts = Math.max(rng.int(2, 5), servers);
  const shape = { servers, hosts, isColocated: rng.chance(0.5) };
  const events: HistoryEvent[] = [];
  const definitions = initialServices(rng);
  const healAtMs = FIRST_FAULT_MS + rng.pick(FAULTS_MS);
  const moment = (): number => rng.int(FIRST_FAULT_MS, healAtMs - 500);
  for (const definition of definitions)
    events.push({ atMs: rng.int(800, 2_500), action: { kind: "deploy", definition } });
  // Some clusters do not synchronize their clocks.
  if (rng.chance(0.4)) {
    const server = rng.int(0, servers - 1);
    events.push({ atMs: 0, fault: { kind: "server-clock-jump", server, byMs: rng.pick(JUMPS_MS) } });
  }
  for (let i = rng.int(1, MAX_ACTIONS); i > 0; i--) {
    events.push({ atMs: moment(), action: randomAction(rng, definitions, hosts) });
  }
  for (let i = rng.int(2, MAX_FAULTS); i > 0; i--) {
    events.push({ atMs: moment(), fault: randomFault(rng, shape) });
  }
  events.sort((left, right) => left.atMs - right.atMs);
  const autoRebalanceMs = rng.chance(0.3) ? 2_000 : 0;
  const history = { seed, ...shape, autoRebalanceMs, events, healAtMs };
  return withCompanions(withNetworks(history, new Rng(`networks/${seed}`)), new Rng(`companions/${seed}`));
}

type Shape = Pick<History, "servers" | "hosts" | "isColocated">;

function randomFault(rng: Rng, shape: Shape): Fault {
  const dice = rng.next();
  if (dice < 0.25) return serverFault(rng, shape);
  if (dice < 0.4) return agentFault(rng, shape);
  if (dice < 0.5) return { kind: "power-cut", host: hostOf(rng, shape), forMs: lasting(rng) };
  if (dice < 0.7) return networkFault(rng, shape);
  if (dice < 0.85) return etcdFault(rng);
  return dockerFault(rng, shape);
}

function serverFault(rng: Rng, { servers }: Shape): Fault {
  const server = rng.chance(0.5) ? "leader" : rng.int(0, servers - 1);
  const forMs = lasting(rng);
  const kind = rng.pick([
    "crash-server",
    "crash-server",
    "stop-server",
    "pause-server",
    "slow-server",
    "server-clock-jump",
  ] as const);
  if (kind === "server-clock-jump") return { kind, server, byMs: rng.pick(JUMPS_MS) };
  return kind === "slow-server" ? { kind, server, forMs, turnMs: rng.int(5, 60) } : { kind, server, forMs };
}

function agentFault(rng: Rng, shape: Shape): Fault {
  const host = hostOf(rng, shape);
  const forMs = lasting(rng);
  const kind = rng.pick(["crash-agent", "crash-agent", "stop-agent", "pause-agent", "slow-agent"] as const);
  return kind === "slow-agent" ? { kind, host, forMs, turnMs: rng.int(5, 60) } : { kind, host, forMs };
}

function networkFault(rng: Rng, shape: Shape): Fault {
  const dice = rng.next();
  const forMs = lasting(rng);
  const host = hostOf(rng, shape);
  if (dice < 0.3) return { kind: "cable", host, forMs };
  if (dice < 0.4) return { kind: "reset-connections", host };
  if (dice < 0.5) return { kind: "slow-network", delayMs: rng.int(20, 400), forMs };
  const server = rng.chance(0.5) ? LEADER : serverHost(shape, rng.int(0, shape.servers - 1));
  const [from, to] = rng.pick([
    [hostName(host), server],
    [server, hostName(host)],
    [server, "etcd"],
    ["etcd", server],
  ] as const);
  return { kind: "partition", from, to, isBothWays: rng.chance(0.5), forMs };
}

function etcdFault(rng: Rng): Fault {
  const dice = rng.next();
  if (dice < 0.3) return { kind: "etcd-pause", forMs: rng.int(200, 6_000) };
  if (dice < 0.7) return { kind: "etcd-flaky", probability: rng.pick([0.1, 0.3, 0.6]), forMs: lasting(rng) };
  return { kind: rng.pick(["etcd-compact", "etcd-watches-break"]) };
}

function dockerFault(rng: Rng, shape: Shape): Fault {
  const host = hostOf(rng, shape);
  const forMs = lasting(rng);
  const dice = rng.next();
  if (dice < 0.15) return { kind: "docker-restart", host, forMs: rng.int(200, 3_000) };
  if (dice < 0.3) return { kind: "docker-hang", host, forMs };
  if (dice < 0.5) return { kind: "docker-flaky", host, forMs, probability: rng.pick([0.1, 0.4]) };
  if (dice < 0.6) return { kind: "docker-slow", host, forMs, factor: rng.int(2, 10) };
  if (dice < 0.7) return { kind: "clock-jump", host, byMs: rng.pick(JUMPS_MS) };
  if (dice < 0.9) return { kind: "container-crash", host, exitCode: rng.pick([0, 1, 137]) };
  return { kind: "container-removed", host };
}

function hostOf(rng: Rng, { hosts }: Shape): number {
  return rng.int(0, hosts - 1);
}

/** Most faults end before a node is marked down; a few outlast every deadline. */
function lasting(rng: Rng): number {
  return rng.pick([rng.int(50, 1_000), rng.int(1_000, 4_000), rng.int(4_000, 12_000)]);
}
