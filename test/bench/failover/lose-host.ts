import type { LabHost } from "../../../deploy/lab/lab-host.js";
import { watchContainers } from "../container-watch.js";
import type { DockerApi } from "../docker-api.js";
import type { HostLoss } from "./scenarios.js";

/** Timeout until all replicas are replaced. Swarm needs 17 s, or 48 s if its leader is also lost. */
const REPLACED_TIMEOUT_MS = 150_000;

export interface LossTimes {
  /** Time by which the host was off the network, in milliseconds since the epoch. */
  readonly cutByMs: number;
  /** Time from the loss to the start of the first replacement. */
  readonly firstReplacementS: number;
  /** Time from the loss until the remaining hosts run as many containers as all hosts did before. */
  readonly allReplacedS: number;
}

export interface LoseHostOptions {
  readonly loss: HostLoss;
  readonly victim: LabHost;
  /** Clients for the Docker daemons of the remaining hosts. */
  readonly survivors: readonly DockerApi[];
  readonly label: string;
  readonly replicas: number;
  readonly signal: AbortSignal;
}

/**
 * Takes a host off the network and measures when its replicas run on other hosts, as reported by their Docker daemons.
 */
export async function loseHost(options: LoseHostOptions): Promise<LossTimes> {
  const { loss, victim, survivors, label, replicas, signal } = options;
  const watch = await watchContainers(survivors, label);
  try {
    if (watch.count() === replicas) throw new Error(`${victim.name} runs none of the replicas`);
    const cutFromMs = Date.now();
    await victim.partition(); // separate from the power cut, so that the time is known
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
