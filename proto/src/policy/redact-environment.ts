import type { Service } from "../../gen/berth/v1/cluster.js";

/** Text that replaces the values of environment variables. */
const REDACTED = "<redacted>";

/** Returns a service without the values of its environment variables. */
export function redactEnvironment(service: Service): Service {
  const { spec } = service;
  const container = spec?.task?.container;
  if (spec?.task === undefined || container === undefined) return service;
  const env = container.env.map(redactVariable);
  return { ...service, spec: { ...spec, task: { ...spec.task, container: { ...container, env } } } };
}

/** A variable without "=" has no value. */
function redactVariable(variable: string): string {
  const separator = variable.indexOf("=");
  return separator < 0 ? variable : `${variable.slice(0, separator)}=${REDACTED}`;
}
