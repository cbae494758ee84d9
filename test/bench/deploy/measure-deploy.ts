import { waitUntil } from "../../../deploy/lab/wait-until.js";
import type { BerthAndSwarmLab } from "../bench-lab.js";
import { waitUntilGone, watchContainers } from "../container-watch.js";
import { cpuByProgram, cpuSince } from "../process-usage.js";
import { waitUntilIdle } from "../wait-until-idle.js";

/** Timeout until all tasks run: twenty times the duration of a deployment. */
const RUNNING_TIMEOUT_MS = 120_000;
/** Timeout until all containers are gone. Allows for sixty containers to use their stop grace periods. */
const GONE_TIMEOUT_MS = 120_000;

/** Starts replicas on the hosts of a lab: berth, Docker Swarm, or a client of the bare Docker API. */
export interface Deployer {
  readonly name: string;
  /** Label that marks this deployer's containers. */
  readonly label: string;
  /** Starts `count` containers. Resolves once the request is accepted. */
  readonly start: (count: number) => Promise<void>;
  /**
   * Returns how many tasks the orchestrator reports as running, or undefined for the bare API, whose calls wait for the
   * start.
   */
  readonly runningTasks?: () => Promise<number>;
  readonly remove: () => Promise<void>;
  /** Removes everything that remains once all containers are gone. */
  readonly cleanUp?: () => Promise<void>;
}

/** Times in seconds since the deployment call. */
export interface DeployTime {
  /** When the call returned. */
  readonly acceptedS: number;
  /** When Docker started the first and the last container. */
  readonly firstStartS: number;
  readonly lastStartS: number;
  /** When the deployer reported all containers as running. */
  readonly confirmedS: number;
}

export interface DeployResult extends DeployTime {
  /** CPU seconds of each kind of program, except those in containers. */
  readonly cpuSeconds: ReadonlyMap<string, number>;
}

export interface MeasureOptions {
  readonly count: number;
  /** Called once all containers are running, before they are removed. */
  readonly whileRunning?: () => Promise<void>;
}

/** Waits until the machine is idle, measures a deployment of `count` containers, and removes them again. */
export async function measureDeploy(
  berthLab: BerthAndSwarmLab,
  deployer: Deployer,
  options: MeasureOptions,
): Promise<DeployResult> {
  const { lab, apis, signal } = berthLab;
  await waitUntilIdle(berthLab);
  const before = cpuByProgram(lab);
  const time = await timeStart(berthLab, deployer, options.count);
  const cpuSeconds = cpuSince(before, cpuByProgram(lab));
  await options.whileRunning?.();
  await deployer.remove();
  await waitUntilGone(apis, deployer.label, { timeoutMs: GONE_TIMEOUT_MS, signal });
  await deployer.cleanUp?.();
  return { ...time, cpuSeconds };
}

async function timeStart(
  { apis, signal }: BerthAndSwarmLab,
  deployer: Deployer,
  count: number,
): Promise<DeployTime> {
  const watch = await watchContainers(apis, deployer.label);
  try {
    const calledAtMs = Date.now();
    const since = (atMs: number): number => (atMs - calledAtMs) / 1_000;
    await deployer.start(count);
    const acceptedAtMs = Date.now();
    const lastStartMs = await watch.reach(count, { timeoutMs: RUNNING_TIMEOUT_MS, signal });
    const confirmedAtMs =
      deployer.runningTasks === undefined ? acceptedAtMs : await confirm(deployer, count, signal);
    return {
      acceptedS: since(acceptedAtMs),
      firstStartS: since(watch.startsMs()[0] ?? lastStartMs),
      lastStartS: since(lastStartMs),
      confirmedS: since(confirmedAtMs),
    };
  } finally {
    watch.close();
  }
}

/**
 * Waits for the deployer's own report. Called only once all containers run, so that polling does not slow the
 * deployment.
 */
async function confirm(
  { name, runningTasks }: Deployer,
  count: number,
  signal: AbortSignal,
): Promise<number> {
  await waitUntil(async () => ((await runningTasks?.()) ?? 0) >= count, {
    what: `${name} to report ${count} running tasks`,
    timeoutMs: RUNNING_TIMEOUT_MS,
    signal,
  });
  return Date.now();
}
