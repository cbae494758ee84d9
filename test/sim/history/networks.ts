import type { Rng } from "../simulator/rng.js";
import type {
  Action,
  Attachment,
  History,
  HistoryEvent,
  NetworkDefinition,
  ServiceDefinition,
} from "./history.js";
import { randomService } from "./services.js";

/** Time at which the shared network is created, usually before the first service. */
const FIRST_NETWORKS_MS = 500;
const FIRST_ACTION_MS = 2_500;
const MAX_ACTIONS = 4;
/** A pool of prefix length 10 holds 256 networks, one of prefix length 15 holds 8. */
const POOL_PREFIXES = [10, 10, 15];

const DEFAULT: NetworkDefinition = { name: "s_default", stack: "s", subnet: "", isInternal: false };
const BACK: NetworkDefinition = { name: "s_back", stack: "s", subnet: "", isInternal: true };
/** So small that each host has two addresses in it. */
const SMALL: NetworkDefinition = { name: "s_small", stack: "s", subnet: "10.20.0.0/26", isInternal: false };
const FIXED: NetworkDefinition = { name: "s_fixed", stack: "s", subnet: "10.21.0.0/24", isInternal: false };
const SHARED: NetworkDefinition = { name: "shared", stack: "", subnet: "", isInternal: false };
const FAR: NetworkDefinition = { name: "t_default", stack: "t", subnet: "", isInternal: false };
/** Overlap with other networks or with the hosts' addresses. */
const AWKWARD: readonly NetworkDefinition[] = [
  { name: "wide", stack: "", subnet: "10.20.0.0/15", isInternal: false },
  { name: "hosts", stack: "", subnet: "10.0.0.0/16", isInternal: false },
];

type HistoryWithoutNetworks = Omit<History, "hostsWithoutOverlay" | "poolPrefix">;

/** Adds networks to a history. Uses its own random numbers, so that the rest of the history does not change. */
export function withNetworks(history: HistoryWithoutNetworks, rng: Rng): History {
  if (rng.chance(0.35)) return { ...history, hostsWithoutOverlay: allHosts(history), poolPrefix: 10 };
  const lost = lostHosts(rng, history);
  const far = rng.chance(0.4) ? farService(rng) : undefined;
  const joined = new Map<string, Pick<ServiceDefinition, "networks" | "usesDnsRoundRobin">>();
  const networksFor = (
    definition: ServiceDefinition,
  ): Pick<ServiceDefinition, "networks" | "usesDnsRoundRobin"> => {
    const known = joined.get(definition.name);
    // Some deployments change the service's networks.
    if (known !== undefined && !rng.chance(0.15)) return known;
    const fresh = { networks: attachmentsOf(rng, definition), usesDnsRoundRobin: rng.chance(0.15) };
    joined.set(definition.name, fresh);
    return fresh;
  };
  const inNetworks = (action: Action): Action => {
    if (action.kind !== "deploy") return action;
    const { definition } = action;
    return { kind: "deploy", definition: { ...definition, ...networksFor(definition) } };
  };
  const before = history.events.map((each): HistoryEvent => {
    return "action" in each ? { atMs: each.atMs, action: inNetworks(each.action) } : each;
  });
  const definitions = before.flatMap((each) =>
    "action" in each && each.action.kind === "deploy" ? [each.action.definition] : [],
  );
  const own = [
    ...lost,
    ...(far === undefined ? [] : [deployFar(rng, far)]),
    ...networkActions(rng, history, definitions, far),
  ];
  const events = [...before, ...own].sort((left, right) => left.atMs - right.atMs);
  const hostsWithoutOverlay = rng.chance(0.25) ? [rng.int(0, history.hosts - 1)] : [];
  return {
    ...history,
    events: events,
    hostsWithoutOverlay: hostsWithoutOverlay,
    poolPrefix: rng.pick(POOL_PREFIXES),
  };
}

function allHosts({ hosts }: HistoryWithoutNetworks): readonly number[] {
  return Array.from({ length: hosts }, (_, host) => host);
}

function attachmentsOf(rng: Rng, { replicas, autoscale, job }: ServiceDefinition): readonly Attachment[] {
  const networks: Attachment[] = [];
  const join = (network: NetworkDefinition, isOptional = false, address = ""): void => {
    networks.push({ network, isOptional, address });
  };
  if (rng.chance(0.7)) join(DEFAULT, true);
  if (rng.chance(0.3)) join(BACK);
  if (rng.chance(0.15)) join(SMALL);
  if (rng.chance(0.3)) join(SHARED);
  const canChoose = replicas === 1 && autoscale === undefined && job === undefined;
  if (rng.chance(0.2)) join(FIXED, false, canChoose && rng.chance(0.6) ? `10.21.0.${rng.int(2, 4)}` : "");
  return networks;
}

function farService(rng: Rng): ServiceDefinition {
  const networks = [
    { network: FAR, isOptional: true, address: "" },
    { network: SHARED, isOptional: false, address: "" },
  ];
  return { ...randomService(rng, "far", 9), hostPort: 0, networks };
}

function deployFar(rng: Rng, definition: ServiceDefinition): HistoryEvent {
  return { atMs: rng.int(800, FIRST_ACTION_MS), action: { kind: "deploy", definition } };
}

/** Creates and removes networks, and removes services for a moment. */
function networkActions(
  rng: Rng,
  { healAtMs }: HistoryWithoutNetworks,
  definitions: readonly ServiceDefinition[],
  far: ServiceDefinition | undefined,
): readonly HistoryEvent[] {
  const events: HistoryEvent[] = [];
  const at = (atMs: number, action: Action): void => {
    events.push({ atMs: Math.min(atMs, healAtMs - 300), action });
  };
  const soon = (): number => rng.pick([rng.int(50, 400), rng.int(400, 4_000)]);
  const all = far === undefined ? definitions : [...definitions, far];
  if (rng.chance(0.9)) at(FIRST_NETWORKS_MS, { kind: "create-network", network: SHARED });
  for (let i = rng.int(0, MAX_ACTIONS); i > 0; i--) {
    const atMs = rng.int(FIRST_ACTION_MS, healAtMs - 500);
    const dice = rng.next();
    if (dice < 0.3) {
      const definition = rng.pick(all);
      at(atMs, { kind: "remove", service: definition.name });
      at(atMs + soon(), { kind: "deploy", definition });
    } else if (dice < 0.6) {
      const stack = far !== undefined && rng.chance(0.5) ? "t" : "s";
      at(atMs, { kind: "remove-stack", stack });
      const ofStack = all.filter(({ name }) => (name === "far") === (stack === "t"));
      const latest = new Map(ofStack.map((definition) => [definition.name, definition]));
      const backMs = atMs + soon();
      for (const definition of latest.values()) at(backMs + rng.int(0, 200), { kind: "deploy", definition });
    } else if (dice < 0.75) {
      at(atMs, { kind: "remove-network", network: SHARED.name });
      at(atMs + soon(), { kind: "create-network", network: SHARED });
    } else if (dice < 0.85) at(atMs, { kind: "create-network", network: rng.pick(AWKWARD) });
    else if (far !== undefined) at(atMs, { kind: "scale", service: far.name, replicas: rng.int(0, 4) });
    else at(atMs, { kind: "create-network", network: SHARED });
  }
  const single = definitions.find(({ networks }) => networks.some(({ address }) => address !== ""));
  if (single !== undefined && rng.chance(0.5)) {
    at(rng.int(FIRST_ACTION_MS, healAtMs), { kind: "scale", service: single.name, replicas: 3 });
  }
  return events;
}

/** A host that loses power or its network, is usually removed from the cluster meanwhile, and comes back. */
function lostHosts(rng: Rng, { healAtMs, hosts }: HistoryWithoutNetworks): readonly HistoryEvent[] {
  if (!rng.chance(0.35)) return [];
  const host = rng.int(0, hosts - 1);
  const atMs = rng.int(FIRST_ACTION_MS, healAtMs - 2_000);
  const forMs = rng.int(1_500, 7_000);
  const kind = rng.pick(["cable", "power-cut", "reinstalled", "reinstalled"] as const);
  const lost: HistoryEvent = { atMs, fault: { kind, host, forMs } };
  if (rng.chance(0.2)) return [lost];
  const removedMs = Math.min(atMs + rng.int(1_200, 8_000), healAtMs - 100);
  return [lost, { atMs: removedMs, action: { kind: "remove-node", host, install: 0, force: false } }];
}
