import type { LabHost } from "../../../deploy/lab/lab-host.js";
import { watchContainers } from "../container-watch.js";
import type { DockerApi } from "../docker-api.js";
import type { HostLoss } from "./scenarios.js";

/** Swarm needs 17 s, 48 s when its leader went too. */
const REPLACED_TIMEOUT_MS = 150_000;

export interface LossTimes {
  /** By when nothing could leave or reach the host any more, in milliseconds since the epoch. */
  readonly cutByMs: number;
  /** From the cut to the first replacement: how long the loss took to be noticed and acted on. */
  readonly firstReplacementS: number;
  /** From the cut to as many containers on the surviving hosts as there were on all. */
  readonly allReplacedS: number;
}

export interface LoseHostOptions {
  readonly loss: HostLoss;
  readonly victim: LabHost;
  /** Docker of the hosts that stay. */
  readonly survivors: readonly DockerApi[];
  readonly label: string;
  readonly replicas: number;
  readonly signal: AbortSignal;
}

/** Takes a host away, and times its replicas' return on the others by what their daemons run. */
export async function loseHost(options: LoseHostOptions): Promise<LossTimes> {
  const { loss, victim, survivors, label, replicas, signal } = options;
  const watch = await watchContainers(survivors, label);
  try {
    if (watch.count() === replicas) throw new Error(`${victim.name} runs none of the replicas`);
    const cutFromMs = Date.now();
    await victim.partition(); // a power cut begins with it, too: apart, the moment is known
    const cutByMs = Date.now();
    await loss.finish(victim);
    const atMs = await watch.reach(replicas, { timeoutMs: REPLACED_TIMEOUT_MS, signal });
    const firstMs = watch.startsMs().find((startMs) => startMs > cutFromMs) ?? atMs;
    const since = (timeMs: number): number => (timeMs - cutFromMs) / 1_000;
    return { cutByMs, firstReplacementS: since(firstMs), allReplacedS: since(atMs) };
  } finally {
    watch.close();
  }
}
