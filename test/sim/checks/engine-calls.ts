import { DesiredState, NodeState } from "@berth/proto";
import type { CheckContext } from "./check-context.js";
import { isFinal } from "./records.js";

/** What an agent asks of its Docker: I6, and that it ends nothing that the leader wants to run. */
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
  if (container.taskId === "") {
    report("I6", `the agent of ${hostName} wants to ${kind} ${container.name}, which is somebody else's`);
  }
  if (kind === "start" || !container.isRunning || container.health === "unhealthy") return;
  const task = records.tasks.get(container.taskId);
  if (task === undefined || isFinal(task) || task.desiredState >= DesiredState.SHUTDOWN) return;
  // A host that is cut off stops these by itself.
  if (records.specOf(container.serviceId, container.version)?.atMostOne === true) return;
  // Given up by the leader a moment ago: the agent may know of a record that is being written.
  if (records.nodes.get(host.nodeId)?.state !== NodeState.READY) return;
  report("I6", `the agent of ${hostName} wants to ${kind} ${container.name}, which runs well and is wanted`);
}
