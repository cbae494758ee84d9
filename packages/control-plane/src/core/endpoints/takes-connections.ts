import { PortSpec_Mode, type ServiceSpec, type Task } from "@berth/proto";
import { runsWell } from "../task-state.js";

/** Hosts other than the task's own may send it connections: through a published port, or by a name in a network. */
export function receivesConnections(task: Task, { ports, task: template }: ServiceSpec): boolean {
  const isPublished = ports.some(({ mode, published }) => mode !== PortSpec_Mode.HOST && published !== 0);
  return runsWell(task) && (isPublished || (template?.networks.length ?? 0) > 0);
}
