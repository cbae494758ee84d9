import {
  type GetServiceTrafficResponse,
  Health,
  type IngressEndpoint,
  type IngressEntry,
  type Task,
} from "@berth/proto";
import type { Field } from "./facts.js";
import { protocolName } from "./state-names.js";

/** What is known beside the service's own record. */
export interface ServiceTraffic {
  readonly traffic: GetServiceTrafficResponse;
  readonly tasks: readonly Task[];
  /** By node id. */
  readonly hostnames: ReadonlyMap<string, string>;
}

const HEALTH_WORDS: Readonly<Partial<Record<Health, string>>> = {
  [Health.HEALTHY]: ", healthy",
  [Health.UNHEALTHY]: ", unhealthy",
  [Health.STARTING]: ", health: starting",
};

/** Where connections to one published port go, and where they went before and live on. */
export function endpointsField(entry: IngressEntry, sights: ServiceTraffic | undefined): Field {
  const { published, protocol, hostIp, endpoints, draining } = entry;
  const port = `${hostIp === "" ? "" : `${hostIp}:`}${published}/${protocolName(protocol)}`;
  const texts = [
    ...endpoints.map((endpoint) => endpointText(endpoint, sights)),
    ...draining.map((endpoint) => `${endpointText(endpoint, sights)}, draining`),
  ];
  return [`Endpoints of ${port}`, texts.length === 0 ? "none" : texts];
}

function endpointText(
  { address, port, taskId, nodeId }: IngressEndpoint,
  sights: ServiceTraffic | undefined,
): string {
  const place = `${address}:${port}`;
  const task = sights?.tasks.find(({ id }) => id === taskId);
  if (sights === undefined || task === undefined) return place;
  const host = sights.hostnames.get(nodeId) ?? nodeId;
  const name = task.slot === 0 ? task.serviceName : `${task.serviceName}.${task.slot}`;
  return `${place} (${name} on ${host}${HEALTH_WORDS[task.status?.health ?? Health.UNSPECIFIED] ?? ""})`;
}

/** What each host's ingress has done for the service since it opened its ports. */
export function trafficField({ hosts, unresponsive: silent }: GetServiceTrafficResponse): Field {
  const lines = hosts.map(({ hostname, traffic }) => {
    const { connections = 0, active = 0, failed = 0, retried = 0, tasks = [] } = traffic ?? {};
    const ejected = tasks.filter((task) => task.ejected).length;
    return [
      `${hostname}: ${connections} connections`,
      `${active} open`,
      `${failed} failed`,
      `${retried} tried again elsewhere`,
      ...(ejected > 0 ? [`${ejected} replicas passed over`] : []),
    ].join(", ");
  });
  return ["Traffic", [...lines, ...silent.map((hostname) => `${hostname}: does not answer`)]];
}
