import {
  type GetServiceTrafficResponse,
  Health,
  type IngressEndpoint,
  type IngressEntry,
  type Task,
} from "@berth/proto";
import { pluralize } from "./human.js";
import { protocolName } from "./state-names.js";
import type { Field } from "./table.js";

/** The traffic of a service, with the tasks and hostnames to display it. */
export interface ServiceTraffic {
  readonly traffic: GetServiceTrafficResponse;
  readonly tasks: readonly Task[];
  /** Hostnames by node ID. */
  readonly hostnames: ReadonlyMap<string, string>;
}

const HEALTH_NOTES: Readonly<Partial<Record<Health, string>>> = {
  [Health.HEALTHY]: ", healthy",
  [Health.UNHEALTHY]: ", unhealthy",
  [Health.STARTING]: ", health: starting",
};

/** Returns the endpoints of a published port, including those that are draining. */
export function endpointsField(entry: IngressEntry, details: ServiceTraffic | undefined): Field {
  const { published, protocol, hostIp, endpoints, draining } = entry;
  const port = `${hostIp === "" ? "" : `${hostIp}:`}${published}/${protocolName(protocol)}`;
  const texts = [
    ...endpoints.map((endpoint) => endpointText(endpoint, details)),
    ...draining.map((endpoint) => `${endpointText(endpoint, details)}, draining`),
  ];
  return [`Endpoints of ${port}`, texts.length === 0 ? "none" : texts];
}

function endpointText(
  { address, port, taskId, nodeId }: IngressEndpoint,
  details: ServiceTraffic | undefined,
): string {
  const endpoint = `${address}:${port}`;
  const task = details?.tasks.find(({ id }) => id === taskId);
  if (details === undefined || task === undefined) return endpoint;
  const host = details.hostnames.get(nodeId) || nodeId;
  const name = task.slot === 0 ? task.serviceName : `${task.serviceName}.${task.slot}`;
  const healthNote = HEALTH_NOTES[task.status?.health ?? Health.UNSPECIFIED] ?? "";
  return `${endpoint} (${name} on ${host}${healthNote})`;
}

/** Returns the connection counts of each host since its ingress process opened the ports. */
export function trafficField({ hosts, unresponsive }: GetServiceTrafficResponse): Field {
  const lines = hosts.map(({ hostname, traffic }) => {
    const { connections = 0, active = 0, failed = 0, retried = 0, held = 0, tasks = [] } = traffic ?? {};
    const ejected = tasks.filter((task) => task.ejected).length;
    return [
      `${hostname}: ${connections} connections`,
      `${active} open`,
      `${failed} failed`,
      `${retried} retried`,
      ...(held > 0 ? [`${held} held`] : []),
      ...(ejected > 0 ? [`${pluralize(ejected, "endpoint")} ejected`] : []),
    ].join(", ");
  });
  return ["Traffic", [...lines, ...unresponsive.map((hostname) => `${hostname}: no response`)]];
}
