import type { BerthAndSwarmLab } from "../bench-lab.js";
import { berthLabel } from "../berth-stack.js";
import { type DockerApi, filters } from "../docker-api.js";
import { BASELINE_LABEL, type ContainerBody, startBaseline } from "../peer/docker-baseline.js";
import { swarmLabel } from "../peer/swarm.js";
import type { Deployer } from "./measure-deploy.js";

/** The name of the stack, and of the Swarm's service. */
const NAME = "bench";
/** Removing is not measured; this is fast enough and lets a busy daemon breathe. */
const REMOVERS_PER_HOST = 4;

/** A new stack with one service, as `berth stack deploy` makes it. */
export function berthDeployer({ stacks, image, signal }: BerthAndSwarmLab): Deployer {
  return {
    name: "berth",
    label: berthLabel(NAME),
    start: (replicas) => stacks.deploy(NAME, { hello: { image, replicas } }, signal),
    runningTasks: () => stacks.runningTasks(NAME, signal),
    remove: () => stacks.remove(NAME, signal),
  };
}

/** A new service, as `docker service create` makes it. */
export function swarmDeployer({ swarm, image, signal }: BerthAndSwarmLab): Deployer {
  return {
    name: "swarm",
    label: swarmLabel(NAME),
    start: (replicas) => swarm.createService({ name: NAME, image, replicas, signal }),
    runningTasks: () => swarm.runningTasks(NAME, signal),
    remove: () => swarm.removeService(NAME, signal),
  };
}

/** The Docker API alone, with `concurrency` containers in the making at once on each host. */
export function baselineDeployer(
  arena: BerthAndSwarmLab,
  body: ContainerBody,
  concurrency: number,
): Deployer {
  const { apis, signal } = arena;
  return {
    name: "floor",
    label: BASELINE_LABEL,
    start: (count) => startBaseline(apis, { count, body, concurrency, signal }),
    remove: async () => {
      await Promise.all(apis.map((api) => removeAll(api, BASELINE_LABEL, signal)));
    },
  };
}

async function removeAll(api: DockerApi, label: string, signal: AbortSignal): Promise<void> {
  const query = filters({ label: [label] });
  const left = await api.get<{ Id: string }[]>(`/containers/json?all=1&${query}`, signal);
  const work = async (): Promise<void> => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      await api.call("DELETE", `/containers/${next.Id}?force=1`, { signal });
    }
  };
  await Promise.all(Array.from({ length: REMOVERS_PER_HOST }, work));
}
