import { readFileSync } from "node:fs";
import { hostname } from "node:os";

/**
 * Who answers, such as `web.3 on h2`: the stack names each container SERVICE.SLOT.HOST. Where nobody fills in that
 * template (plain Docker Compose), the container's id has to do.
 */
export function identity(service) {
  const [name, slot, ...host] = hostname().split(".");
  if (host.length > 0 && !hostname().includes("{{")) return `${name}.${slot} on ${host.join(".")}`;
  const id = /containers\/([0-9a-f]{12})/.exec(readFileSync("/proc/self/mountinfo", "utf8"))?.[1];
  return `${service} ${id ?? hostname()}`;
}
