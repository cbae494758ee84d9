import type { AutoscaleSpec, AutoscaleStatus } from "@berth/proto";

/** A measure this close to its target is as good as on it. */
const TOLERANCE = 0.1;
/** More is asked for in steps: a first look at a service that starts says more about its start than about its load. */
const MAX_GROWTH = 2;
const MIN_GROWTH_STEP = 4;
const DEFAULT_UP_WINDOW_MS = 0;
/** Five minutes without any need for the replicas that go. */
const DEFAULT_DOWN_WINDOW_MS = 5 * 60_000;

/** What was measured of one service at one moment. */
export interface Usage {
  /** Percent of what each replica may use, of those that were measured. */
  readonly cpuPercents: readonly number[];
  /** Open connections of all replicas; undefined when nobody counted them. */
  readonly connections: number | undefined;
  /** Whether all who carry connections have told of theirs. */
  readonly connectionsComplete: boolean;
}

/** How many replicas seemed right at a time. */
export interface Recommendation {
  readonly atMs: number;
  readonly replicas: number;
}

export interface ScaleInput {
  readonly spec: AutoscaleSpec;
  /** Replicas that the service is to have now. */
  readonly current: number;
  readonly usage: Usage;
  /** Earlier recommendations of the service. */
  readonly history: readonly Recommendation[];
  readonly now: number;
}

export interface ScaleDecision {
  /** Recommendations that the next decision must know, this one included. */
  readonly history: readonly Recommendation[];
  /** Undefined: it stays as it is. */
  readonly status: AutoscaleStatus | undefined;
}

/**
 * How many replicas a service should have. As Kubernetes decides it: each measure asks for current × measured ÷ target,
 * the largest counts; replicas without a measure count as idle when that would add replicas and as being on target when
 * it would remove some. Then the windows: it grows to the least, and shrinks to the most, that was asked for in them.
 */
export function decideScale({ spec, current, usage, history, now }: ScaleInput): ScaleDecision {
  const asked = askedFor(spec, current, usage);
  const recommendation = { atMs: now, replicas: clamp(limitGrowth(asked.replicas, current), spec) };
  const upWindowMs = spec.scaleUpWindowMs ?? DEFAULT_UP_WINDOW_MS;
  const downWindowMs = spec.scaleDownWindowMs ?? DEFAULT_DOWN_WINDOW_MS;
  const known = [...history, recommendation];
  const floor = Math.min(...within(known, now - upWindowMs));
  const ceiling = Math.max(...within(known, now - downWindowMs));
  const replicas = clamp(Math.min(Math.max(current, floor), ceiling), spec);
  const keepSinceMs = now - Math.max(upWindowMs, downWindowMs);
  return {
    history: known.filter(({ atMs }) => atMs >= keepSinceMs),
    status:
      replicas === current
        ? undefined
        : { replicas, changedAtMs: now, message: `from ${current} to ${replicas}: ${asked.why}` },
  };
}

/** What a replicated service is scaled to: its status within the bounds of its spec, which may have changed since. */
export function scaledReplicas(
  spec: AutoscaleSpec,
  status: AutoscaleStatus | undefined,
  replicas: number,
): number {
  return clamp(status?.replicas ?? replicas, spec);
}

interface Asked {
  readonly replicas: number;
  readonly why: string;
}

function askedFor(spec: AutoscaleSpec, current: number, usage: Usage): Asked {
  const measures = [byCpu(spec, current, usage), byConnections(spec, current, usage)].flatMap(
    (one) => one ?? [],
  );
  const none = { replicas: current, why: "it is within its bounds" };
  return measures.reduce((most, one) => (most === none || one.replicas > most.replicas ? one : most), none);
}

function byCpu(spec: AutoscaleSpec, current: number, { cpuPercents }: Usage): Asked | undefined {
  const target = spec.targetCpuPercent;
  if (target === 0 || cpuPercents.length === 0 || current === 0) return undefined;
  const sum = cpuPercents.reduce((total, percent) => total + percent, 0);
  const average = sum / cpuPercents.length;
  const why = `${round(average)} % CPU a replica, the target is ${round(target)} %`;
  const missing = Math.max(0, current - cpuPercents.length);
  const ratio = average / target;
  if (missing === 0) return { replicas: scaleBy(ratio, current), why };
  const assumed = sum + (ratio > 1 ? 0 : missing * target);
  const cautious = assumed / current / target;
  // What is assumed of some must not turn what was measured of the others round.
  const isTurned = (ratio > 1 && cautious < 1) || (ratio < 1 && cautious > 1);
  return { replicas: isTurned ? current : scaleBy(cautious, current), why };
}

function byConnections(spec: AutoscaleSpec, current: number, usage: Usage): Asked | undefined {
  const target = spec.targetConnections;
  const { connections, connectionsComplete } = usage;
  if (target === 0 || connections === undefined || current === 0) return undefined;
  const why = `${round(connections / current)} connections a replica, the target is ${round(target)}`;
  const replicas = scaleBy(connections / current / target, current);
  return { replicas: connectionsComplete ? replicas : Math.max(replicas, current), why };
}

const scaleBy = (ratio: number, current: number): number =>
  Math.abs(ratio - 1) <= TOLERANCE ? current : Math.ceil(ratio * current);

const limitGrowth = (replicas: number, current: number): number =>
  Math.min(replicas, Math.max(current * MAX_GROWTH, current + MIN_GROWTH_STEP));

const within = (known: readonly Recommendation[], sinceMs: number): readonly number[] =>
  known.filter(({ atMs }) => atMs >= sinceMs).map(({ replicas }) => replicas);

const clamp = (replicas: number, { min, max }: AutoscaleSpec): number =>
  Math.min(Math.max(replicas, min), Math.max(min, max));

const round = (value: number): number => Number(value.toFixed(1));
