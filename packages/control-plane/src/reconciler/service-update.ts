import type { Service, ServiceSpec } from "@berth/proto";
import { staticAddressIn } from "../core/allocator/static-addresses.js";
import { portConflicts } from "../core/endpoints/published-ports.js";
import { pauseRollout } from "../core/orchestrator/rollout/rollout-record.js";
import { addressHolder } from "../state/address-holder.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";

/**
 * What an updated service is written as. One that goes back to an earlier version has a new version: its spec is
 * written before the service that makes it count. Should another service have taken a port of that spec meanwhile, or
 * should a network of it be gone, there is no way back, and the service stays as it is.
 */
export function serviceUpdate(service: Service, state: ClusterState, now: number): readonly Change[] {
  const { id: serviceId, version, spec } = service;
  const update: Change = { kind: "put-service", service };
  if (spec === undefined || state.services.specOf(serviceId, version) !== undefined) return [update];
  const obstacle = takenPort(serviceId, spec, state) ?? networkObstacle(serviceId, spec, state);
  const known = state.services.get(serviceId);
  if (obstacle !== undefined && known?.rollout !== undefined && service.rollout !== undefined) {
    const message = `${service.rollout.message} is not possible, since ${obstacle}: it is paused until the service is changed`;
    return [
      { kind: "put-service", service: { ...known, rollout: pauseRollout(known.rollout, message, now) } },
    ];
  }
  return [{ kind: "put-revision", serviceId, version, spec }, update];
}

function networkObstacle(serviceId: string, { task }: ServiceSpec, state: ClusterState): string | undefined {
  const { networks, services } = state;
  for (const { network, ipv4Address } of task?.networks ?? []) {
    if (networks.byName(network)?.removing !== false) return `network ${network} is gone`;
    if (ipv4Address === "") continue;
    for (const { id, spec } of services.ofNetwork(network).values()) {
      const isTaken =
        id !== serviceId && spec !== undefined && staticAddressIn(spec, network) === ipv4Address;
      if (isTaken) return `service ${spec.name} has its address ${ipv4Address} in network ${network}`;
    }
    const holder = addressHolder({ serviceId, network, address: ipv4Address }, state);
    if (holder !== undefined)
      return `task ${holder.serviceName}.${holder.slot} still has its address ${ipv4Address} in network ${network}`;
  }
  return undefined;
}

function takenPort(serviceId: string, spec: ServiceSpec, state: ClusterState): string | undefined {
  const { ports } = state.services;
  const claimsOn: Parameters<typeof portConflicts>[1]["claimsOn"] = (protocol, published) =>
    ports.on(protocol, published);
  return portConflicts(spec, { serviceId, claimsOn })[0]?.message;
}
