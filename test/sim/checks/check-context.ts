import type { Cluster } from "../cluster/cluster.js";
import type { SimHost } from "../cluster/sim-host.js";
import type { SimContainer } from "../docker/sim-container.js";
import type { HostConditions } from "./host-conditions.js";
import type { Records } from "./records.js";

/** The state that every check reads. */
export interface CheckContext {
  readonly cluster: Cluster;
  readonly records: Records;
  readonly conditions: HostConditions;
  /** Reports a violation. Each text is reported once. */
  readonly report: (rule: string, what: string) => void;
}

/** A container that is running, according to Docker. */
export interface RunningContainer {
  readonly host: SimHost;
  readonly container: SimContainer;
}

/** Returns berth's running containers on all hosts. */
export function runningContainers({ cluster }: Pick<CheckContext, "cluster">): readonly RunningContainer[] {
  return cluster.hosts.flatMap((host) => {
    return [...host.docker.containers.values()]
      .filter(({ isRunning, taskId }) => isRunning && taskId !== "")
      .map((container) => ({ host, container }));
  });
}

export function describeContainer({ host, container }: RunningContainer): string {
  return `${container.name} on ${host.name}`;
}
