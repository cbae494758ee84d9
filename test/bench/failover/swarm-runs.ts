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
 * A service of a Swarm loses one of its hosts, its leader's or another. The Swarm is made for this one loss and disbanded
 * after it: neither its other losses nor berth's are to be slowed by what it has to recover from. The host stays as it is.
 */
export async function loseOnSwarm(stage: BerthLab, loss: HostLoss): Promise<LossTimes> {
  const swarm = await Swarm.create(stage.lab, SERVERS, stage.signal);
  try {
    return await loseHostOf(swarm, stage, loss);
  } finally {
    await swarm.disband(stage.signal);
  }
}

async function loseHostOf(swarm: Swarm, stage: BerthLab, loss: HostLoss): Promise<LossTimes> {
  const { lab, signal } = stage;
  const victim = await serveOnVictim(swarm, stage, loss);
  const others = lab.hosts.filter((host) => host !== victim);
  swarm.ask(others[0]?.name ?? "");
  await waitUntilIdle(signal, QUIET_TIMEOUT_MS);
  const survivors = others.map((host) => new DockerApi(host.dockerSocket));
  try {
    const label = swarmLabel(STACK);
    return await loseHost({ loss, victim, survivors, label, replicas: REPLICAS, signal });
  } finally {
    for (const api of survivors) api.close();
  }
}

/** Starts the service, anew when nothing of it came to be on the host that is to be lost: one that was away just now. */
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
  throw new Error("the Swarm places nothing on the host that is to be lost");
}

async function runningOn(host: LabHost): Promise<number> {
  const api = new DockerApi(host.dockerSocket);
  const watch = await watchContainers([api], swarmLabel(STACK));
  watch.close();
  api.close();
  return watch.count();
}
