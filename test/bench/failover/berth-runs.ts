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

/** Name of the stack and of the Swarm service. */
export const STACK = "bench";
export const REPLICAS = 12;
/** Number of berth servers and of Swarm managers. After the loss of any host, the others still have a quorum. */
export const SERVERS = 3;
const PORT = 18_080;
const REQUESTS_PER_SECOND = 100;
const REQUEST_TIMEOUT_MS = 2_000;
/** Duration of the traffic before the fault and after the last replacement, when no request may fail either. */
const MARGIN_MS = 1_000;
const RUNNING_TIMEOUT_MS = 120_000;
const REPLY_TIMEOUT_MS = 30_000;
/** Maximum time to wait until the machine is idle after a deployment. */
export const QUIET_TIMEOUT_MS = 3_000;

/** The result of one scenario in one run. */
export interface BerthRun {
  readonly scenario: Scenario["name"];
  /** Undefined if no host was lost. */
  readonly times: LossTimes | undefined;
  /** Replicas that were started in addition to the replacements of lost ones. */
  readonly wrongStarts: number;
  /** Requests to the published port, from before the fault until after it. */
  readonly requests: readonly RequestResult[];
  /** Time of the loss, or 0 if no host was lost. All requests sent later must succeed. */
  readonly severedAtMs: number;
}

/** Runs a scenario while the stack serves requests. Does not repair the stack and the hosts afterwards. */
export async function runOnBerth(berthLab: BerthLab, scenario: Scenario): Promise<BerthRun> {
  const { lab, signal } = berthLab;
  const leader = await lab.leaderHost();
  const victim = victimOf(scenario, lab.hosts, leader);
  await deployOnto(berthLab, scenario, victim);
  // In a false alarm, requests go to the affected host itself.
  const entryHost = scenario.kind === "false-alarm" ? victim : lab.hosts.find((host) => host !== victim);
  const target = { address: entryHost?.address ?? "", port: PORT, timeoutMs: REQUEST_TIMEOUT_MS };
  await waitUntilAllAnswer(target, signal);
  await waitUntilIdle(berthLab, QUIET_TIMEOUT_MS);
  const load = startLoad({ ...target, addresses: [target.address], perSecond: REQUESTS_PER_SECOND });
  try {
    await sleep(MARGIN_MS, undefined, { signal });
    const outcome =
      scenario.kind === "loss"
        ? await runLoss(berthLab, scenario, victim)
        : await runFalseAlarm(berthLab, scenario, victim);
    await sleep(MARGIN_MS, undefined, { signal });
    return { scenario: scenario.name, ...outcome, requests: (await load.stop()).results };
  } finally {
    await load.stop();
  }
}

/**
 * Deploys the stack. Before a loss, removes it first, so that each loss costs the same number of replicas, as with
 * Swarm. Before a false alarm, removes it first only if the victim runs no replica.
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
    if (isThere && kind === "false-alarm" && (await deploy()) > 0) return;
    if (isThere) await stacks.remove(STACK, signal);
    if ((await deploy()) === 0) throw new Error(`nothing is placed on ${victim.name}`);
  } finally {
    api.close();
  }
}

/** Returns the leader's host if the scenario affects the leader, otherwise the last of the other hosts. */
function victimOf(scenario: Scenario, hosts: readonly LabHost[], leader: LabHost | undefined): LabHost {
  const victim =
    scenario.kind === "loss" && scenario.onLeader ? leader : hosts.findLast((host) => host !== leader);
  if (victim === undefined) throw new Error(`no host to lose: the leader is ${leader?.name ?? "unknown"}`);
  return victim;
}

type Outcome = Pick<BerthRun, "times" | "wrongStarts" | "severedAtMs">;

async function runLoss({ lab, signal }: BerthLab, loss: HostLoss, victim: LabHost): Promise<Outcome> {
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

async function runFalseAlarm({ apis, signal }: BerthLab, fault: FalseAlarm, host: LabHost): Promise<Outcome> {
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

/** Waits until every replica has replied on the published port, so that the host's ingress table is complete. */
async function waitUntilAllAnswer(target: Target, signal: AbortSignal): Promise<void> {
  const replicas = new Set<string>();
  const allAnswered = async (): Promise<boolean> => {
    const { failure, body } = await requestOnce(target);
    if (failure === "") replicas.add(body);
    return replicas.size >= REPLICAS;
  };
  await waitUntil(allAnswered, { what: "every replica to answer", timeoutMs: REPLY_TIMEOUT_MS, signal });
}
