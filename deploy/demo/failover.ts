import { setTimeout as sleep } from "node:timers/promises";
import type { HttpTraffic, RequestOutcome } from "../lab/http-traffic.js";
import { summarizeTraffic } from "../lab/http-traffic.js";
import type { LabMachine } from "../lab/lab-machine.js";
import { type ClusterReader, isReady, pollUntilTrue } from "./cluster.js";
import type { Screen } from "./screen.js";

/** How long traffic flows before the power cut, as a baseline. */
const WARM_UP_MS = 3_000;
/** How long traffic continues once all replicas run again. */
const COOL_DOWN_MS = 3_000;
/** Timeout for detection and for replacement. Both take a few seconds. */
const EVENT_TIMEOUT_MS = 60_000;
/** Interval at which the live line is redrawn. */
const LIVE_LINE_INTERVAL_MS = 200;

/** The events of the demo's timeline, in chronological order. */
export type TimelineEvent =
  | { readonly kind: "cut"; readonly host: string; readonly replicas: number }
  | { readonly kind: "detected"; readonly host: string }
  | { readonly kind: "replaced" };

/** The course of the failover. Times are from `performance.now()`. */
export interface Failover {
  readonly startedAtMs: number;
  readonly cutAtMs: number;
  readonly endedAtMs: number;
  /** Undefined if some replicas were not replaced before the timeout. */
  readonly replacedAtMs: number | undefined;
  readonly outcomes: readonly RequestOutcome[];
}

export interface FailoverOptions {
  readonly cluster: ClusterReader;
  readonly traffic: HttpTraffic;
  readonly screen: Screen;
  readonly service: string;
  readonly victim: LabMachine;
  /** Called with each event. `sinceCutMs` is undefined if the event did not happen before the timeout. */
  readonly onEvent: (event: TimelineEvent, sinceCutMs: number | undefined) => void;
  readonly signal: AbortSignal;
}

/** Cuts a host's power while requests are being sent, and waits until its replicas run on other hosts. */
export async function cutPower(options: FailoverOptions): Promise<Failover> {
  const { cluster, traffic, screen, service, victim, onEvent, signal } = options;
  const victimId = (await cluster.findNode(victim.name))?.id;
  const before = await cluster.listRunningTasks(service);
  const lostReplicas = before.filter(({ nodeId }) => nodeId === victimId).length;

  const startedAtMs = performance.now();
  traffic.start();
  const ticker = setInterval(() => screen.live(formatLiveLine(traffic.outcomes)), LIVE_LINE_INTERVAL_MS);
  try {
    await sleep(WARM_UP_MS, undefined, { signal });
    const cutAtMs = performance.now();
    await victim.kill();
    onEvent({ kind: "cut", host: victim.name, replicas: lostReplicas }, 0);
    const waitFor = async (
      event: TimelineEvent,
      condition: () => Promise<boolean>,
    ): Promise<number | undefined> => {
      const atMs = await pollUntilTrue(condition, EVENT_TIMEOUT_MS, signal);
      onEvent(event, atMs === undefined ? undefined : atMs - cutAtMs);
      return atMs;
    };
    await waitFor(
      { kind: "detected", host: victim.name },
      async () => !isReady(await cluster.findNode(victim.name)),
    );
    const replacedAtMs = await waitFor({ kind: "replaced" }, () =>
      haveReplicasMoved(cluster, service, before.length, victimId),
    );
    await sleep(COOL_DOWN_MS, undefined, { signal });
    await traffic.stop();
    const endedAtMs = performance.now();
    return { startedAtMs, cutAtMs, replacedAtMs, endedAtMs, outcomes: traffic.outcomes };
  } finally {
    clearInterval(ticker);
    await traffic.stop();
  }
}

/** Returns the host with the most replicas. On a tie, returns the last of these hosts. */
export async function findBusiestHost(
  cluster: ClusterReader,
  hosts: readonly LabMachine[],
  service: string,
): Promise<LabMachine | undefined> {
  const [nodes, tasks] = await Promise.all([cluster.listNodes(), cluster.listRunningTasks(service)]);
  const countReplicas = ({ name }: LabMachine): number => {
    const id = nodes.find(({ description }) => description?.hostname === name)?.id;
    return tasks.filter(({ nodeId }) => nodeId === id).length;
  };
  return hosts.toSorted((a, b) => countReplicas(a) - countReplicas(b)).at(-1);
}

async function haveReplicasMoved(
  cluster: ClusterReader,
  service: string,
  replicas: number,
  victimId: string | undefined,
): Promise<boolean> {
  const running = await cluster.listRunningTasks(service);
  return running.filter(({ nodeId }) => nodeId !== victimId).length >= replicas;
}

function formatLiveLine(outcomes: readonly RequestOutcome[]): string {
  const { sent, failed, medianMs } = summarizeTraffic(outcomes);
  return `  ${sent} requests completed, ${failed} failed, median ${medianMs.toFixed(1)} ms`;
}
