import { readFileSync } from "node:fs";
import { hostname } from "node:os";

/**
 * Returns the name of this replica, such as `web.3 on h2`. The stack sets each hostname to SERVICE.SLOT.HOST with a
 * template. Docker Compose does not expand the template; the name then contains the ID of the container.
 */
export function identity(service) {
  const [name, slot, ...host] = hostname().split(".");
  if (host.length > 0 && !hostname().includes("{{")) return `${name}.${slot} on ${host.join(".")}`;
  const id = /containers\/([0-9a-f]{12})/.exec(readFileSync("/proc/self/mountinfo", "utf8"))?.[1];
  return `${service} ${id ?? hostname()}`;
}
