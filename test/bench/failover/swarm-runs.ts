import { waitUntil } from "../../../deploy/lab/wait-until.js";
import type { Arena } from "../arena.js";
import { DockerApi } from "../docker-api.js";
import { swarmLabel } from "../peer/swarm.js";
import { untilQuiet } from "../quiet.js";
import { REPLICAS, STACK } from "./berth-runs.js";
import { type LossTimes, loseHost } from "./lose-host.js";
import type { Loss } from "./scenario.js";

const RUNNING_TIMEOUT_MS = 120_000;
const QUIET_TIMEOUT_MS = 5_000;

/** A service of the Swarm loses one of its hosts, its leader's or another. It is removed; the host stays as it is. */
export async function loseOnSwarm(arena: Arena, loss: Loss): Promise<LossTimes> {
  const { lab, swarm, image, signal } = arena;
  await swarm.createService({ name: STACK, image, replicas: REPLICAS, signal });
  await waitUntil(async () => (await swarm.runningTasks(STACK, signal)) === REPLICAS, {
    what: `${REPLICAS} replicas on swarm`,
    timeoutMs: RUNNING_TIMEOUT_MS,
    signal,
  });
  await untilQuiet(signal, QUIET_TIMEOUT_MS);
  const leader = await swarm.leader(signal);
  const victim = lab.hosts.findLast(({ name }) => (name === leader) === loss.onLeader);
  const others = lab.hosts.filter((host) => host !== victim);
  if (victim === undefined || others[0] === undefined) throw new RangeError("a lab without hosts to lose");
  swarm.ask(others[0].name);
  const survivors = others.map((host) => new DockerApi(host.dockerSocket));
  try {
    const label = swarmLabel(STACK);
    return await loseHost({ loss, victim, survivors, label, replicas: REPLICAS, signal });
  } finally {
    for (const api of survivors) api.close();
    await swarm.removeService(STACK, signal);
  }
}
