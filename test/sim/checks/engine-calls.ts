import { DesiredState, NodeState } from "@berth/proto";
import type { CheckContext } from "./check-context.js";
import { isFinal } from "./records.js";

/** I6: an agent changes neither foreign containers nor healthy ones that are desired. */
export function checkEngineCall(
  context: CheckContext,
  hostName: string,
  kind: string,
  containerId: string,
): void {
  const { cluster, records, report } = context;
  const host = cluster.hosts.find(({ name }) => name === hostName);
  const container = kind === "create" ? undefined : host?.docker.containers.get(containerId);
  if (host === undefined || container === undefined) return;
  if (container.isForeign) {
    report("I6", `the agent of ${hostName} wants to ${kind} ${container.name}, which berth did not create`);
  }
  if (kind === "start" || !container.isRunning || container.health === "unhealthy") return;
  const task = records.tasks.get(container.taskId);
  if (task === undefined || isFinal(task) || task.desiredState >= DesiredState.SHUTDOWN) return;
  // A disconnected host stops at-most-one tasks itself.
  if (records.specOf(container.serviceId, container.version)?.atMostOne === true) return;
  // The leader has just given the node up, and may be writing the records that the agent already has.
  if (records.nodes.get(host.nodeId)?.state !== NodeState.READY) return;
  report("I6", `the agent of ${hostName} wants to ${kind} ${container.name}, which runs well and is wanted`);
}
