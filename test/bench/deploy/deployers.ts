import type { BerthAndSwarmLab } from "../bench-lab.js";
import { berthLabel } from "../berth-stack.js";
import { removeAll } from "../container-watch.js";
import {
  BASELINE_LABEL,
  type BaselineNetwork,
  type ContainerBody,
  startBaseline,
} from "../peer/docker-baseline.js";
import { swarmLabel } from "../peer/swarm.js";
import type { Deployer } from "./measure-deploy.js";

/** Name of the stack and of the Swarm service. */
const STACK_NAME = "bench";

/** Deploys a new stack with one service. The stack gets its own network. */
export function berthDeployer({ stacks, image, signal }: BerthAndSwarmLab): Deployer {
  return {
    name: "berth",
    label: berthLabel(STACK_NAME),
    start: (replicas) => stacks.deploy(STACK_NAME, { hello: { image, replicas } }, signal),
    runningTasks: () => stacks.runningTasks(STACK_NAME, signal),
    remove: () => stacks.remove(STACK_NAME, signal),
  };
}

/** Creates an overlay network and a service on it, as `docker stack deploy` does. */
export function swarmDeployer({ swarm, image, signal }: BerthAndSwarmLab): Deployer {
  return {
    name: "swarm",
    label: swarmLabel(STACK_NAME),
    start: async (replicas) => {
      await swarm.createNetwork(STACK_NAME, signal);
      await swarm.createService({ name: STACK_NAME, image, replicas, network: STACK_NAME, signal });
    },
    runningTasks: () => swarm.runningTasks(STACK_NAME, signal),
    remove: () => swarm.removeService(STACK_NAME, signal),
    cleanUp: () => swarm.removeNetwork(STACK_NAME, signal),
  };
}

/**
 * Creates a bridge network on each host and starts containers on it with the bare Docker API, at most `concurrency` at
 * a time per host. The network has the same options as a stack's network, so that Docker does the same work.
 */
export function dockerDeployer(
  { apis, signal }: BerthAndSwarmLab,
  baseline: { readonly body: ContainerBody; readonly network: BaselineNetwork; readonly concurrency: number },
): Deployer {
  return {
    name: "docker",
    label: BASELINE_LABEL,
    start: async (count) => {
      await Promise.all(
        apis.map((api) => api.call("POST", "/networks/create", { body: baseline.network, signal })),
      );
      await startBaseline(apis, { count, ...baseline, signal });
    },
    remove: () => removeAll(apis, BASELINE_LABEL, signal),
    cleanUp: async () => {
      await Promise.all(
        apis.map((api) => api.call("DELETE", `/networks/${baseline.network.Name}`, { signal })),
      );
    },
  };
}
