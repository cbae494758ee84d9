import type { IngressEntry, TaskStatus } from "@berth/proto";
import type { OwnPort } from "./foreign-listeners.js";

/** Ports of this host that the ingress listens on, and those at which Docker publishes our containers. */
export function* ownPorts(
  table: readonly IngressEntry[],
  statuses: Iterable<TaskStatus>,
): Generator<OwnPort> {
  for (const { protocol, published } of table) yield { protocol, port: published };
  for (const { ports } of statuses) {
    for (const { protocol, hostPort } of ports) yield { protocol, port: hostPort };
  }
}
