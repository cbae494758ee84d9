import type { LabHost } from "../../../deploy/lab/lab-host.js";
import { waitUntil } from "../../../deploy/lab/wait-until.js";
import type { BerthLab } from "../bench-lab.js";
import { waitUntilGone, watchContainers } from "../container-watch.js";
import { DockerApi } from "../docker-api.js";
import { Swarm, swarmLabel } from "../peer/swarm.js";
import { waitUntilIdle } from "../wait-until-idle.js";
import { QUIET_TIMEOUT_MS, REPLICAS, SERVERS, STACK } from "./berth-runs.js";
import { type LossTimes, loseHost } from "./lose-host.js";
import type { HostLoss } from "./scenarios.js";

const RUNNING_TIMEOUT_MS = 120_000;
const MAX_ATTEMPTS = 3;

/**
 * Measures the loss of a host on Docker Swarm. Creates the swarm for this loss and removes it afterwards, so that
 * neither its recovery nor berth's slows the other. Does not repair the host.
 */
export async function loseOnSwarm(berthLab: BerthLab, loss: HostLoss): Promise<LossTimes> {
  const swarm = await Swarm.create(berthLab.lab, SERVERS, berthLab.signal);
  try {
    return await loseHostOf(swarm, berthLab, loss);
  } finally {
    await swarm.disband(berthLab.signal);
  }
}

async function loseHostOf(swarm: Swarm, berthLab: BerthLab, loss: HostLoss): Promise<LossTimes> {
  const { lab, signal } = berthLab;
  const victim = await serveOnVictim(swarm, berthLab, loss);
  const others = lab.hosts.filter((host) => host !== victim);
  swarm.selectManager(others[0]?.name ?? "");
  await waitUntilIdle(berthLab, QUIET_TIMEOUT_MS);
  const survivors = others.map((host) => new DockerApi(host.dockerSocket));
  try {
    const label = swarmLabel(STACK);
    return await loseHost({ loss, victim, survivors, label, replicas: REPLICAS, signal });
  } finally {
    for (const api of survivors) api.close();
  }
}

/** Creates the service. Retries if no task was placed on the victim, which may have only just returned. */
async function serveOnVictim(
  swarm: Swarm,
  { lab, apis, image, signal }: BerthLab,
  loss: HostLoss,
): Promise<LabHost> {
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
    await waitUntilGone(apis, swarmLabel(STACK), { timeoutMs: RUNNING_TIMEOUT_MS, signal });
    await swarm.createService({ name: STACK, image, replicas: REPLICAS, signal });
    await waitUntil(async () => (await swarm.runningTasks(STACK, signal)) === REPLICAS, {
      what: `${REPLICAS} replicas on swarm`,
      timeoutMs: RUNNING_TIMEOUT_MS,
      signal,
    });
    const leader = await swarm.leader(signal);
    const victim = lab.hosts.findLast(({ name }) => (name === leader) === loss.onLeader);
    if (victim !== undefined && (await runningOn(victim)) > 0) return victim;
    await swarm.removeService(STACK, signal);
  }
  throw new Error(`swarm placed no task on the victim in ${MAX_ATTEMPTS} attempts`);
}

async function runningOn(host: LabHost): Promise<number> {
  const api = new DockerApi(host.dockerSocket);
  const watch = await watchContainers([api], swarmLabel(STACK));
  watch.close();
  api.close();
  return watch.count();
}
