import { setTimeout as sleep } from "node:timers/promises";
import type { LabHost } from "../../../deploy/lab/lab-host.js";
import { waitUntil } from "../../../deploy/lab/wait-until.js";
import type { BerthLab } from "../bench-lab.js";
import { berthLabel } from "../berth-stack.js";
import { waitUntilRunning, watchContainers } from "../container-watch.js";
import { DockerApi } from "../docker-api.js";
import { type RequestResult, requestOnce, startLoad, type Target } from "../load-generator.js";
import { waitUntilIdle } from "../wait-until-idle.js";
import { type LossTimes, loseHost } from "./lose-host.js";
import type { FalseAlarm, HostLoss, Scenario } from "./scenarios.js";

/** The name of the stack, and of the Swarm's service. */
export const STACK = "bench";
export const REPLICAS = 12;
/** Number of berth servers and of Swarm managers: the others keep a majority when any host is lost. */
export const SERVERS = 3;
const PORT = 18_080;
const REQUESTS_PER_SECOND = 100;
const REQUEST_TIMEOUT_MS = 2_000;
/** Traffic before the fault and after the last replacement: both must be without failures, too. */
const MARGIN_MS = 1_000;
const RUNNING_TIMEOUT_MS = 120_000;
const REPLY_TIMEOUT_MS = 30_000;
/** Longest wait for the machine to become idle after a deployment. */
export const QUIET_TIMEOUT_MS = 3_000;

/** The result of one scenario in one run. */
export interface BerthRun {
  readonly scenario: Scenario["name"];
  /** Undefined when no host was lost. */
  readonly times: LossTimes | undefined;
  /** Replicas that were started in addition to the replacements of lost ones. */
  readonly wrongStarts: number;
  /** Requests to the published port, from before the fault until after it. */
  readonly requests: readonly RequestResult[];
  /** The time of the loss, or 0. Requests sent later must all be answered. */
  readonly severedAtMs: number;
}

/** Runs a scenario while the stack serves requests. Stack and hosts are left as they are after the fault. */
export async function runOnBerth(stage: BerthLab, scenario: Scenario): Promise<BerthRun> {
  const { lab, signal } = stage;
  const leader = await lab.leaderHost();
  const victim = victimOf(scenario, lab.hosts, leader);
  await deployOnto(stage, scenario, victim);
  // In a false alarm, requests go to the affected host itself.
  const asked = scenario.kind === "scare" ? victim : lab.hosts.find((host) => host !== victim);
  const target = { address: asked?.address ?? "", port: PORT, timeoutMs: REQUEST_TIMEOUT_MS };
  await waitUntilAllAnswer(target, signal);
  await waitUntilIdle(stage, QUIET_TIMEOUT_MS);
  const load = startLoad({ ...target, addresses: [target.address], perSecond: REQUESTS_PER_SECOND });
  try {
    await sleep(MARGIN_MS, undefined, { signal });
    const outcome =
      scenario.kind === "loss" ? await lose(stage, scenario, victim) : await scare(stage, scenario, victim);
    await sleep(MARGIN_MS, undefined, { signal });
    return { scenario: scenario.name, ...outcome, requests: (await load.stop()).results };
  } finally {
    await load.stop();
  }
}

/**
 * Deploys the stack. Before a loss it is always redeployed, so that each loss costs the same number of replicas, as with
 * Swarm. Before a disturbance it is redeployed only if no replica is left on the next host.
 */
async function deployOnto(
  { stacks, image, apis, signal }: BerthLab,
  { kind }: Scenario,
  victim: LabHost,
): Promise<void> {
  const api = new DockerApi(victim.dockerSocket);
  const service = { image, replicas: REPLICAS, ports: [`${PORT}:80`] };
  const deploy = async (): Promise<number> => {
    await stacks.deploy(STACK, { hello: service }, signal);
    const limits = { count: REPLICAS, timeoutMs: RUNNING_TIMEOUT_MS, signal };
    await waitUntilRunning(apis, berthLabel(STACK), limits);
    const watch = await watchContainers([api], berthLabel(STACK));
    watch.close();
    return watch.count();
  };
  try {
    const isThere = await stacks.exists(STACK, signal);
    if (isThere && kind === "scare" && (await deploy()) > 0) return;
    if (isThere) await stacks.remove(STACK, signal);
    if ((await deploy()) === 0) throw new Error(`nothing is placed on ${victim.name}`);
  } finally {
    api.close();
  }
}

/** Returns the leader's host, or the last of the others. */
function victimOf(scenario: Scenario, hosts: readonly LabHost[], leader: LabHost | undefined): LabHost {
  const victim =
    scenario.kind === "loss" && scenario.onLeader ? leader : hosts.findLast((host) => host !== leader);
  if (victim === undefined) throw new Error(`no host to lose: the leader is ${leader?.name ?? "unknown"}`);
  return victim;
}

type Outcome = Pick<BerthRun, "times" | "wrongStarts" | "severedAtMs">;

async function lose({ lab, signal }: BerthLab, loss: HostLoss, victim: LabHost): Promise<Outcome> {
  const survivors = lab.hosts
    .filter((host) => host !== victim)
    .map((host) => new DockerApi(host.dockerSocket));
  const watch = await watchContainers(survivors, berthLabel(STACK));
  const staying = watch.count();
  try {
    const options = { loss, victim, survivors, label: berthLabel(STACK), replicas: REPLICAS, signal };
    const times = await loseHost(options);
    const starts = watch.startsMs().length;
    return { times, wrongStarts: starts - (REPLICAS - staying), severedAtMs: times.cutByMs };
  } finally {
    watch.close();
    for (const api of survivors) api.close();
  }
}

async function scare({ apis, signal }: BerthLab, fault: FalseAlarm, host: LabHost): Promise<Outcome> {
  const watch = await watchContainers(apis, berthLabel(STACK));
  try {
    await fault.begin(host);
    await sleep(fault.lastsMs, undefined, { signal });
    await fault.end(host);
    await sleep(fault.aftermathMs, undefined, { signal });
    return { times: undefined, wrongStarts: watch.startsMs().length, severedAtMs: 0 };
  } finally {
    watch.close();
  }
}

/** Waits until every replica has answered at the published port, so that the host's table is complete. */
async function waitUntilAllAnswer(target: Target, signal: AbortSignal): Promise<void> {
  const replicas = new Set<string>();
  const allAnswered = async (): Promise<boolean> => {
    const { failure, body } = await requestOnce(target);
    if (failure === "") replicas.add(body);
    return replicas.size >= REPLICAS;
  };
  await waitUntil(allAnswered, { what: "every replica to answer", timeoutMs: REPLY_TIMEOUT_MS, signal });
}
