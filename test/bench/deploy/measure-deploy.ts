import { waitUntil } from "../../../deploy/lab/wait-until.js";
import type { BerthAndSwarmLab } from "../bench-lab.js";
import { waitUntilGone, watchContainers } from "../container-watch.js";
import { cpuByProgram, cpuSince } from "../process-usage.js";
import { waitUntilIdle } from "../wait-until-idle.js";

/** Twenty times what a healthy run takes. */
const RUNNING_TIMEOUT_MS = 120_000;
/** Sixty containers with their grace periods. */
const GONE_TIMEOUT_MS = 120_000;

/** Somebody who starts replicas over the hosts: berth, Swarm, or nobody but Docker itself. */
export interface Deployer {
  readonly name: string;
  /** Carried by its containers alone. */
  readonly label: string;
  /** Returns when the order has been taken. */
  readonly start: (count: number) => Promise<void>;
  /** Containers that it says are running. The floor has no word of its own: it is done when its calls have returned. */
  readonly runningTasks?: () => Promise<number>;
  readonly remove: () => Promise<void>;
}

/** All in seconds from the order. */
export interface DeployTime {
  /** The order was taken: the command line returned. */
  readonly acceptedS: number;
  /** Docker started the first and the last container. */
  readonly firstStartS: number;
  readonly lastStartS: number;
  /** The contender itself knew that all of them ran. */
  readonly confirmedS: number;
}

export interface DeployResult extends DeployTime {
  /** Processor seconds of each kind of program, the containers' own apart. */
  readonly cpuSeconds: ReadonlyMap<string, number>;
}

export interface MeasureOptions {
  readonly count: number;
  /** Called when all run, before they are removed again. */
  readonly whileRunning?: () => Promise<void>;
}

/** Lets a contender start `count` containers on a quiet machine, and has them removed again. */
export async function measureDeploy(
  arena: BerthAndSwarmLab,
  contender: Deployer,
  options: MeasureOptions,
): Promise<DeployResult> {
  const { lab, apis, signal } = arena;
  await waitUntilIdle(signal);
  const before = cpuByProgram(lab);
  const time = await timeStart(arena, contender, options.count);
  const cpuSeconds = cpuSince(before, cpuByProgram(lab));
  await options.whileRunning?.();
  await contender.remove();
  await waitUntilGone(apis, contender.label, { timeoutMs: GONE_TIMEOUT_MS, signal });
  return { ...time, cpuSeconds };
}

async function timeStart(arena: BerthAndSwarmLab, contender: Deployer, count: number): Promise<DeployTime> {
  const { apis, signal } = arena;
  const watch = await watchContainers(apis, contender.label);
  try {
    const orderedAtMs = Date.now();
    const since = (atMs: number): number => (atMs - orderedAtMs) / 1_000;
    await contender.start(count);
    const acceptedAtMs = Date.now();
    const lastStartMs = await watch.reach(count, { timeoutMs: RUNNING_TIMEOUT_MS, signal });
    const confirmedAtMs = await confirmedAt(contender, { count, signal, acceptedAtMs });
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

/** Asks only once Docker runs everything: being asked must not slow anybody down. */
async function confirmedAt(
  { name, runningTasks: runningByItsWord }: Deployer,
  {
    count,
    signal,
    acceptedAtMs,
  }: { readonly count: number; readonly signal: AbortSignal; readonly acceptedAtMs: number },
): Promise<number> {
  if (runningByItsWord === undefined) return acceptedAtMs;
  await waitUntil(async () => (await runningByItsWord()) >= count, {
    what: `${name} to know that all ${count} run`,
    timeoutMs: RUNNING_TIMEOUT_MS,
    signal,
  });
  return Date.now();
}
