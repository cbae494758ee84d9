import type { HttpTraffic, RequestOutcome } from "../lab/http-traffic.js";
import { summarize } from "../lab/http-traffic.js";
import type { LabHost } from "../lab/lab-host.js";
import { type Cluster, isReady, until } from "./cluster.js";
import { printMoment } from "./report.js";
import type { Screen } from "./screen.js";

/** Traffic before the cut, so that there is a normal to compare with. */
const WARM_UP_MS = 3_000;
/** Traffic after the last replica is back, to see it serve. */
const COOL_DOWN_MS = 3_000;
/** Far more than a replacement takes: only a fault lasts longer. */
const GIVE_UP_MS = 60_000;
const LIVE_EVERY_MS = 200;

/** What the time line tells, in this order. */
export type Moment =
  | { readonly kind: "cut"; readonly host: string; readonly replicas: number }
  | { readonly kind: "detected"; readonly host: string }
  | { readonly kind: "replaced" };

/** All times by `performance.now()`. */
export interface Failover {
  readonly startedAtMs: number;
  readonly cutAtMs: number;
  readonly endedAtMs: number;
  /** Undefined: it did not happen before the demonstration gave up. */
  readonly replacedAtMs: number | undefined;
  readonly outcomes: readonly RequestOutcome[];
}

export interface FailoverOptions {
  readonly cluster: Cluster;
  readonly traffic: HttpTraffic;
  readonly screen: Screen;
  readonly service: string;
  readonly victim: LabHost;
  readonly signal: AbortSignal;
}

/** Cuts a host's power under traffic and watches until its replicas run elsewhere. */
export async function cutPower(options: FailoverOptions): Promise<Failover> {
  const { cluster, traffic, screen, service, victim, signal } = options;
  const victimId = (await cluster.node(victim.name))?.id;
  const before = await cluster.runningTasks(service);
  const lostReplicas = before.filter(({ nodeId }) => nodeId === victimId).length;

  const startedAtMs = performance.now();
  traffic.start();
  const ticker = setInterval(() => screen.live(liveLine(traffic.outcomes)), LIVE_EVERY_MS);
  try {
    await pause(WARM_UP_MS, signal);
    const cutAtMs = performance.now();
    await victim.kill();
    printMoment(screen, { kind: "cut", host: victim.name, replicas: lostReplicas }, 0);
    const tell = async (moment: Moment, question: () => Promise<boolean>): Promise<number | undefined> => {
      const atMs = await until(question, GIVE_UP_MS, signal);
      printMoment(screen, moment, atMs === undefined ? undefined : atMs - cutAtMs);
      return atMs;
    };
    await tell(
      { kind: "detected", host: victim.name },
      async () => !isReady(await cluster.node(victim.name)),
    );
    const replacedAtMs = await tell({ kind: "replaced" }, () =>
      runsElsewhere(cluster, service, before.length, victimId),
    );
    await pause(COOL_DOWN_MS, signal);
    await traffic.stop();
    const endedAtMs = performance.now();
    return { startedAtMs, cutAtMs, replacedAtMs, endedAtMs, outcomes: traffic.outcomes };
  } finally {
    clearInterval(ticker);
    await traffic.stop();
  }
}

/** The host that runs most replicas, the last one of several: its loss shows most. */
export async function busiestHost(
  cluster: Cluster,
  hosts: readonly LabHost[],
  service: string,
): Promise<LabHost | undefined> {
  const [nodes, tasks] = await Promise.all([cluster.nodes(), cluster.runningTasks(service)]);
  const replicasOn = ({ name }: LabHost): number => {
    const id = nodes.find(({ description }) => description?.hostname === name)?.id;
    return tasks.filter(({ nodeId }) => nodeId === id).length;
  };
  return hosts.toSorted((a, b) => replicasOn(a) - replicasOn(b)).at(-1);
}

async function runsElsewhere(
  cluster: Cluster,
  service: string,
  replicas: number,
  victimId: string | undefined,
): Promise<boolean> {
  const running = await cluster.runningTasks(service);
  return running.filter(({ nodeId }) => nodeId !== victimId).length >= replicas;
}

function liveLine(outcomes: readonly RequestOutcome[]): string {
  const { sent, failed, medianMs } = summarize(outcomes);
  return `  ${sent} requests answered or failed, ${failed} failed, median ${medianMs.toFixed(1)} ms`;
}

function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, durationMs);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
