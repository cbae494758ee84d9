import {
  AutoscaleSpec,
  CronSpec,
  CronSpec_Concurrency,
  Dependency_Condition,
  EndpointMode,
  type Mount,
  NetworkSpec,
  PortSpec_Mode,
  PortSpec_Protocol,
  ServiceSpec,
  UpdateConfig_FailureAction,
  UpdateConfig_Order,
  VolumeMount,
} from "@berth/proto";
import type {
  AutoscaleDefinition,
  CronDefinition,
  NetworkDefinition,
  ServiceDefinition,
} from "../history/history.js";

const STACK = "s";
const FAR_STACK = "t";
const MIB = 1024 ** 2;
/** Monitoring time of rollouts. Short, so that a rollout and its failure fit into a history. */
const MONITOR_MS = 1_000;
const PROGRESS_DEADLINE_MS = 8_000;
const SCALE_DOWN_WINDOW_MS = 5_000;

const ORDERS = {
  default: UpdateConfig_Order.UNSPECIFIED,
  "stop-first": UpdateConfig_Order.STOP_FIRST,
  "start-first": UpdateConfig_Order.START_FIRST,
} as const;

const FAILURE_ACTIONS = {
  pause: UpdateConfig_FailureAction.PAUSE,
  continue: UpdateConfig_FailureAction.CONTINUE,
  rollback: UpdateConfig_FailureAction.ROLLBACK,
} as const;

const CONCURRENCIES = {
  allow: CronSpec_Concurrency.ALLOW,
  forbid: CronSpec_Concurrency.FORBID,
  replace: CronSpec_Concurrency.REPLACE,
} as const;

const CONDITIONS = {
  started: Dependency_Condition.STARTED,
  healthy: Dependency_Condition.HEALTHY,
  completed: Dependency_Condition.COMPLETED,
} as const;

/** The service "far" is in another stack. */
export function stackOf(service: string): string {
  return service === "far" || service === companionOf("far") ? FAR_STACK : STACK;
}

export function fullName(service: string): string {
  return `${stackOf(service)}_${service}`;
}

/** Returns the networks of a service that its Compose file defines. */
export function networksOf({ name, networks }: ServiceDefinition): readonly NetworkSpec[] {
  return networks
    .filter(({ network }) => network.stack === stackOf(name))
    .map(({ network }) => networkSpec(network));
}

export function networkSpec({ name, stack, subnet, isInternal }: NetworkDefinition): NetworkSpec {
  return NetworkSpec.fromPartial({ name, stack, subnet, internal: isInternal });
}

/** Converts a definition to the spec that the API receives. */
export function specOf(definition: ServiceDefinition): ServiceSpec {
  const reservations = { memoryBytes: definition.memoryMib * MIB };
  return ServiceSpec.fromPartial({
    name: fullName(definition.name),
    stack: stackOf(definition.name),
    mode: modeOf(definition),
    task: {
      container: {
        image: definition.image,
        stopGraceMs: definition.stopGraceMs,
        ...(definition.hasVolume ? { mounts: [{ kind: volumeOf(definition.name), target: "/data" }] } : {}),
        ...(definition.hasHealthcheck
          ? { healthcheck: { test: ["CMD", "true"], intervalMs: 500, timeoutMs: 500, retries: 1 } }
          : {}),
      },
      ...(definition.memoryMib > 0 ? { reservations } : {}),
      networks: definition.networks.map(({ network, isOptional, address }) => {
        return { network: network.name, optional: isOptional, ipv4Address: address };
      }),
    },
    update: {
      parallelism: definition.parallelism,
      order: ORDERS[definition.order],
      failureAction: FAILURE_ACTIONS[definition.failureAction],
      monitorMs: MONITOR_MS,
      progressDeadlineMs: PROGRESS_DEADLINE_MS,
    },
    ports: portsOf(definition),
    atMostOne: definition.isAtMostOne,
    ...(definition.usesDnsRoundRobin ? { endpointMode: EndpointMode.DNSRR } : {}),
    dependsOn: definition.dependsOn.map(({ service, condition }) => {
      return { service: fullName(service), condition: CONDITIONS[condition], optional: false };
    }),
    ...(definition.autoscale === undefined ? {} : { autoscale: autoscaleOf(definition.autoscale) }),
    ...(definition.job?.cron === undefined ? {} : { cron: cronOf(definition.job.cron) }),
  });
}

/** Returns the name of the companion of a service. */
export function companionOf(service: string): string {
  return `${service}-side`;
}

/** Returns the specs that the deployment of a definition sends: the service, and its companion if it has one. */
export function specsOf(definition: ServiceDefinition): readonly ServiceSpec[] {
  const { name, companion } = definition;
  const spec = specOf(definition);
  if (companion === undefined) return [spec];
  const owner = fullName(name);
  const { stack, mode, update } = spec;
  const side = ServiceSpec.fromPartial({
    name: fullName(companionOf(name)),
    stack,
    mode,
    update,
    ...(companion.shares === "node" ? { placement: { beside: owner } } : {}),
    task: {
      container: {
        image: companion.image,
        stopGraceMs: definition.stopGraceMs,
        ...(companion.shares === "network" ? { sharing: { network: owner } } : {}),
        ...(companion.shares === "mounts" ? { sharing: { mounts: [{ service: owner }] } } : {}),
      },
    },
  });
  return [spec, side];
}

/** Returns the name of a service's volume. */
export function volumeName(service: string): string {
  return `${fullName(service)}_data`;
}

function volumeOf(service: string): Mount["kind"] {
  return { $case: "volume", value: VolumeMount.fromPartial({ name: volumeName(service) }) };
}

function modeOf({ replicas, job }: ServiceDefinition): ServiceSpec["mode"] {
  if (job !== undefined) {
    if (replicas === undefined) return { $case: "globalJob", value: {} };
    const value = { totalCompletions: replicas, maxConcurrent: job.maxConcurrent };
    return { $case: "replicatedJob", value };
  }
  return replicas === undefined
    ? { $case: "global", value: {} }
    : { $case: "replicated", value: { replicas } };
}

function autoscaleOf({ min, max, target }: AutoscaleDefinition): AutoscaleSpec {
  const scaleDownWindowMs = SCALE_DOWN_WINDOW_MS;
  return AutoscaleSpec.fromPartial({ min, max, targetConnections: target, scaleDownWindowMs });
}

function cronOf({ everyS, concurrency }: CronDefinition): CronSpec {
  return CronSpec.fromPartial({
    schedule: `@every ${everyS}s`,
    concurrency: CONCURRENCIES[concurrency],
  });
}

function portsOf({ ingressPort, hostPort }: ServiceDefinition): ServiceSpec["ports"] {
  const base = { protocol: PortSpec_Protocol.TCP, target: 80, hostIp: "" };
  return [
    ...(ingressPort > 0 ? [{ ...base, published: ingressPort, mode: PortSpec_Mode.INGRESS }] : []),
    ...(hostPort > 0 ? [{ ...base, target: 81, published: hostPort, mode: PortSpec_Mode.HOST }] : []),
  ];
}
