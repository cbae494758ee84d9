import { DesiredState, NodeState } from "@berth/proto";
import type { CheckContext } from "./check-context.js";
import { isFinal } from "./records.js";

/** I6: an agent changes neither foreign containers nor healthy containers that should run. */
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
    report("I6", `the agent on ${hostName} tried to ${kind} ${container.name}, which berth did not create`);
  }
  if (kind === "start" || !container.isRunning || container.health === "unhealthy") return;
  const task = records.tasks.get(container.taskId);
  if (task === undefined || isFinal(task) || task.desiredState >= DesiredState.SHUTDOWN) return;
  // A disconnected host stops at-most-one tasks itself.
  if (records.specOf(container.serviceId, container.version)?.atMostOne === true) return;
  // The leader has just declared the node lost, and may still be writing the records that the agent already has.
  if (records.nodes.get(host.nodeId)?.state !== NodeState.READY) return;
  report(
    "I6",
    `the agent on ${hostName} tried to ${kind} ${container.name}, which is healthy and should run`,
  );
}
