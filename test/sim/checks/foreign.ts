import type { Scene } from "./scene.js";

/** I6: an agent gives no order about a container that is not berth's. */
export function checkOrder(scene: Scene, host: string, kind: string, containerId: string): void {
  const docker = scene.cluster.hosts.find(({ name }) => name === host)?.docker;
  const container = kind === "create" ? undefined : docker?.containers.get(containerId);
  if (container !== undefined && container.taskId === "") {
    scene.report("I6", `the agent of ${host} wants to ${kind} ${container.name}, which is somebody else's`);
  }
}
