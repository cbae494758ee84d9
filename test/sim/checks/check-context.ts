import type { Cluster } from "../cluster/cluster.js";
import type { SimHost } from "../cluster/sim-host.js";
import type { SimContainer } from "../docker/sim-container.js";
import type { HostConditions } from "./host-conditions.js";
import type { Records } from "./records.js";

/** What every check looks at. */
export interface CheckContext {
  readonly cluster: Cluster;
  readonly records: Records;
  readonly conditions: HostConditions;
  /** Something that must never be is. Said once for each text. */
  readonly report: (promise: string, what: string) => void;
}

/** A container that runs now, by Docker's word. */
export interface RunningContainer {
  readonly host: SimHost;
  readonly container: SimContainer;
}

/** Containers of berth that run on any host. */
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
