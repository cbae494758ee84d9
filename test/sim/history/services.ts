import type { Rng } from "../simulator/rng.js";
import type {
  Action,
  AutoscaleDefinition,
  DependencyDefinition,
  JobDefinition,
  ServiceDefinition,
} from "./history.js";

const SERVICES = ["web", "api", "db", "edge"];
/** A job that runs once after each change, and one that runs on a schedule. */
const JOB = "batch";
const CRON = "tick";

/** Returns the services that users deploy first. */
export function initialServices(rng: Rng): readonly ServiceDefinition[] {
  const definitions = SERVICES.slice(0, rng.int(1, SERVICES.length)).map((name, index) => {
    return randomService(rng, name, index);
  });
  if (rng.chance(0.3)) definitions.push(randomJob(rng, JOB));
  if (rng.chance(0.25)) definitions.push(randomJob(rng, CRON));
  return definitions.map((definition) => {
    const dependsOn = dependenciesOf(rng, definition, definitions);
    return { ...definition, dependsOn, autoscale: autoscaleOf(rng, definition) };
  });
}

export function randomService(rng: Rng, name: string, index: number): ServiceDefinition {
  const hostPort = rng.chance(0.15) ? 9_000 + index : 0;
  const isAtMostOne = name !== "edge" && rng.chance(0.15);
  const hasVolume = name !== "edge" && rng.chance(0.15);
  return {
    name,
    image: rng.chance(0.9) ? "app:1" : "stubborn:1",
    replicas: name === "edge" ? undefined : rng.int(1, 6),
    // Two tasks cannot share a host port or a volume: a start-first update would never finish.
    order: rng.pick(
      hostPort > 0 || isAtMostOne || hasVolume
        ? ["default", "stop-first"]
        : ["default", "stop-first", "start-first"],
    ),
    parallelism: rng.pick([0, 1, 1, 2]),
    failureAction: rng.pick(["pause", "continue", "rollback"]),
    hasHealthcheck: rng.chance(0.3),
    ingressPort: rng.chance(0.5) ? 8_080 + index : 0,
    hostPort,
    memoryMib: rng.pick([0, 0, 512, 1_536]),
    stopGraceMs: rng.pick([1_000, 1_000, 3_000]),
    isAtMostOne,
    job: undefined,
    dependsOn: [],
    hasVolume,
    autoscale: undefined,
    networks: [],
    usesDnsRoundRobin: false,
    companion: undefined,
  };
}

function autoscaleOf(
  rng: Rng,
  { ingressPort, replicas }: ServiceDefinition,
): AutoscaleDefinition | undefined {
  if (ingressPort === 0 || replicas === undefined || !rng.chance(0.2)) return undefined;
  return { min: rng.int(1, 2), max: rng.int(3, 6), target: 10 };
}

function randomJob(rng: Rng, name: string): ServiceDefinition {
  const replicas = rng.chance(0.8) ? rng.int(1, 5) : undefined;
  return {
    name,
    image: rng.pick(["job:1", "job:1", "long:1"]),
    replicas,
    order: "default",
    parallelism: 1,
    failureAction: "pause",
    hasHealthcheck: false,
    ingressPort: 0,
    hostPort: 0,
    // A global job's task on a node without free memory would wait forever.
    memoryMib: replicas === undefined ? 0 : rng.pick([0, 0, 512]),
    stopGraceMs: 1_000,
    isAtMostOne: false,
    job: jobOf(rng, name),
    dependsOn: [],
    hasVolume: false,
    autoscale: undefined,
    networks: [],
    usesDnsRoundRobin: false,
    companion: undefined,
  };
}

function jobOf(rng: Rng, name: string): JobDefinition {
  const maxConcurrent = rng.pick([0, 1, 2]);
  if (name !== CRON) return { maxConcurrent, cron: undefined };
  const concurrency = rng.pick(["allow", "forbid", "replace"] as const);
  return { maxConcurrent: 0, cron: { everyS: rng.int(2, 4), concurrency } };
}

/** Returns a dependency on an earlier service, so that there are no cycles. */
function dependenciesOf(
  rng: Rng,
  { name, job }: ServiceDefinition,
  definitions: readonly ServiceDefinition[],
): readonly DependencyDefinition[] {
  if (!rng.chance(0.25)) return [];
  const isJobThere = definitions.some((definition) => definition.name === JOB);
  if (job === undefined && isJobThere && rng.chance(0.5)) return [{ service: JOB, condition: "completed" }];
  const earlier = definitions.slice(
    0,
    definitions.findIndex((definition) => definition.name === name),
  );
  const services = earlier.filter(
    (definition) => definition.job === undefined && definition.dependsOn.length === 0,
  );
  if (services.length === 0) return [];
  // Other services may depend on this job: a dependency of its own could form a cycle.
  if (name === JOB) return [];
  return [{ service: rng.pick(services).name, condition: rng.pick(["started", "healthy"] as const) }];
}

export function randomAction(rng: Rng, definitions: readonly ServiceDefinition[], hosts: number): Action {
  const definition = rng.pick(definitions);
  if (definition.autoscale !== undefined && rng.chance(0.5)) {
    return { kind: "load", service: definition.name, connections: rng.int(0, 70) };
  }
  const dice = rng.next();
  if (dice < 0.4)
    return { kind: "deploy", definition: { ...definition, image: randomImage(rng, definition) } };
  if (dice < 0.5) return { kind: "deploy", definition };
  if (
    dice < 0.65 &&
    definition.replicas !== undefined &&
    definition.job === undefined &&
    definition.autoscale === undefined
  ) {
    return { kind: "scale", service: definition.name, replicas: rng.int(0, 7) };
  }
  if (dice < 0.75) return { kind: "remove", service: definition.name };
  if (dice < 0.82 && definition.job === undefined) return { kind: "rollback", service: definition.name };
  if (dice < 0.87) return { kind: "rebalance" };
  const availability = rng.pick(["drain", "drain", "active", "active", "pause"] as const);
  return { kind: "availability", host: rng.int(0, hosts - 1), availability };
}

function randomImage(rng: Rng, { job }: ServiceDefinition): string {
  const good = job === undefined ? "app" : "job";
  const bad = job === undefined ? ["crash", "sick", "missing", "stubborn"] : ["crash", "missing", "long"];
  const kind = rng.chance(0.7) ? good : rng.pick(bad);
  return `${kind}:${rng.int(2, 4)}`;
}
