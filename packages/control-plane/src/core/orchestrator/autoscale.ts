import type { AutoscaleSpec, AutoscaleStatus, ServiceSpec } from "@berth/proto";

/** Relative deviation from the target that does not cause a change. */
const LOAD_TOLERANCE = 0.1;
/** Largest factor of one step up. A starting service uses more CPU than its load requires. */
const MAX_GROWTH = 2;
/** Number of replicas that a service can always gain in one step, even if it is small. */
const MIN_GROWTH_STEP = 4;

/** Default time for which replicas must have been necessary before they are added. */
const DEFAULT_SCALE_UP_STABILIZATION_MS = 0;
/** Default time for which replicas must have been unnecessary before they are removed. */
const DEFAULT_SCALE_DOWN_STABILIZATION_MS = 5 * 60_000;

/** The measurements of one service at one time. */
export interface Usage {
  /** CPU usage of the measured replicas, in percent of the limit of each. */
  readonly cpuPercents: readonly number[];
  /** Open connections of all replicas. Undefined if they are not counted. */
  readonly connections: number | undefined;
  /** Whether every ingress process has reported its connections. */
  readonly areConnectionsComplete: boolean;
  /** Whether every ingress process has reported that clients have neither open nor new connections. */
  readonly isIdle: boolean;
}

/** The number of replicas that the measurements required at one time. */
export interface Recommendation {
  readonly atMs: number;
  readonly replicas: number;
}

/** The inputs of one scaling decision. */
export interface ScaleInput {
  readonly spec: AutoscaleSpec;
  /** The current number of replicas. */
  readonly current: number;
  readonly usage: Usage;
  /** Earlier recommendations. */
  readonly history: readonly Recommendation[];
  readonly nowMs: number;
}

/** The result of one scaling decision. */
export interface ScaleDecision {
  /** Recommendations to pass to the next decision, including the newest. */
  readonly history: readonly Recommendation[];
  /** The new scale. Undefined if it is unchanged. */
  readonly status: AutoscaleStatus | undefined;
}

/**
 * Decides the number of replicas, as the Kubernetes HorizontalPodAutoscaler does.
 *
 * Each metric recommends current × measured ÷ target replicas, and the largest recommendation counts. A replica without
 * a measurement counts as idle when the others are overloaded, and as on target when the others are idle. The service
 * scales up to the smallest recommendation within the up window, and down to the largest within the down window.
 */
export function decideScale({ spec, current, usage, history, nowMs }: ScaleInput): ScaleDecision {
  const metric = highestRecommendation(spec, current, usage);
  const recommendation = { atMs: nowMs, replicas: clamp(limitGrowth(metric.replicas, current), spec) };
  const upWindowMs = spec.scaleUpWindowMs ?? DEFAULT_SCALE_UP_STABILIZATION_MS;
  const downWindowMs = spec.scaleDownWindowMs ?? DEFAULT_SCALE_DOWN_STABILIZATION_MS;
  const recommendations = [...history, recommendation];
  const lowest = Math.min(...replicasSince(recommendations, nowMs - upWindowMs));
  const highest = Math.max(...replicasSince(recommendations, nowMs - downWindowMs));
  const replicas = clamp(Math.min(Math.max(current, lowest), highest), spec);
  const keepSinceMs = nowMs - Math.max(upWindowMs, downWindowMs);
  const message = `from ${current} to ${replicas}: ${metric.reason}`;
  return {
    history: recommendations.filter(({ atMs }) => atMs >= keepSinceMs),
    status: replicas === current ? undefined : { replicas, changedAtMs: nowMs, message },
  };
}

/** Returns the replicas of an autoscaled service, within the bounds of its current spec. */
export function scaledReplicas(
  spec: AutoscaleSpec,
  status: AutoscaleStatus | undefined,
  replicas: number,
): number {
  return clamp(status?.replicas ?? replicas, spec);
}

interface MetricRecommendation {
  readonly replicas: number;
  readonly reason: string;
}

function highestRecommendation(spec: AutoscaleSpec, current: number, usage: Usage): MetricRecommendation {
  if (spec.min === 0 && usage.isIdle) return { replicas: 0, reason: "no client has connected" };
  // Usually, the report of a waiting client starts the first replica. It may have been lost.
  if (current === 0 && usage.areConnectionsComplete) return { replicas: 1, reason: "a client has connected" };
  const metrics = [recommendByCpu(spec, current, usage), recommendByConnections(spec, current, usage)];
  const [first, ...others] = metrics.filter((metric) => metric !== undefined);
  if (first === undefined) return { replicas: current, reason: "the bounds of its spec" };
  const highest = others.reduce((best, metric) => (metric.replicas > best.replicas ? metric : best), first);
  return { replicas: Math.max(highest.replicas, 1), reason: highest.reason };
}

/** Returns whether a service that has no replicas starts one when a client connects. */
export function startsOnConnection({ autoscale }: Pick<ServiceSpec, "autoscale">): boolean {
  return autoscale !== undefined && autoscale.min === 0 && autoscale.max > 0;
}

function recommendByCpu(
  spec: AutoscaleSpec,
  current: number,
  { cpuPercents }: Usage,
): MetricRecommendation | undefined {
  const target = spec.targetCpuPercent;
  if (target === 0 || cpuPercents.length === 0 || current === 0) return undefined;
  const sum = cpuPercents.reduce((total, percent) => total + percent, 0);
  const average = sum / cpuPercents.length;
  const reason = `${round(average)} % CPU per replica, the target is ${round(target)} %`;
  const unmeasured = Math.max(0, current - cpuPercents.length);
  const ratio = average / target;
  if (unmeasured === 0) return { replicas: scaleBy(ratio, current), reason };
  const assumedSum = sum + (ratio > 1 ? 0 : unmeasured * target);
  const assumedRatio = assumedSum / current / target;
  // Assumptions about unmeasured replicas must not reverse the direction that the measurements show.
  const isReversed = (ratio > 1 && assumedRatio < 1) || (ratio < 1 && assumedRatio > 1);
  return { replicas: isReversed ? current : scaleBy(assumedRatio, current), reason };
}

function recommendByConnections(
  spec: AutoscaleSpec,
  current: number,
  usage: Usage,
): MetricRecommendation | undefined {
  const target = spec.targetConnections;
  const { connections, areConnectionsComplete } = usage;
  if (target === 0 || connections === undefined || current === 0) return undefined;
  const reason = `${round(connections / current)} connections per replica, the target is ${round(target)}`;
  const replicas = scaleBy(connections / current / target, current);
  return { replicas: areConnectionsComplete ? replicas : Math.max(replicas, current), reason };
}

function scaleBy(ratio: number, current: number): number {
  return Math.abs(ratio - 1) <= LOAD_TOLERANCE ? current : Math.ceil(ratio * current);
}

function limitGrowth(replicas: number, current: number): number {
  return Math.min(replicas, Math.max(current * MAX_GROWTH, current + MIN_GROWTH_STEP));
}

function replicasSince(recommendations: readonly Recommendation[], sinceMs: number): readonly number[] {
  return recommendations.filter(({ atMs }) => atMs >= sinceMs).map(({ replicas }) => replicas);
}

function clamp(replicas: number, { min, max }: AutoscaleSpec): number {
  return Math.min(Math.max(replicas, min), Math.max(min, max));
}

function round(value: number): number {
  return Number(value.toFixed(1));
}
