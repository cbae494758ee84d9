import {
  DesiredState,
  EndpointMode,
  type Network,
  NodeState,
  parseIpv4,
  parseSubnet,
  type Service,
  type ServiceSpec,
  type Task,
  TaskState,
} from "@berth/proto";
import { bridgeName, tunnelName, vniOfTunnel } from "../../../packages/agent/src/core/networks/devices.js";
import { pickVirtualIp } from "../../../packages/control-plane/src/core/allocator/address-pool.js";
import { isReady } from "../../../packages/control-plane/src/core/model/task-state.js";
import type { SimHost } from "../cluster/sim-host.js";
import { isGoodImage, isJobImage } from "../docker/images.js";
import { networkIdOf, portName } from "../docker/sim-networks.js";
import type { CheckContext } from "./check-context.js";
import { networkNames } from "./network-membership.js";
import { isFinal, isJob, type Records, stateOf } from "./records.js";

/** Age below which a container may not be set up completely. */
const FRESH_MS = 3_000;

/** Returns a line for each violation of N4 and N5: leftover network ranges and incorrect tables. */
export function unmetNetworkGoals(context: CheckContext): readonly string[] {
  return [
    ...missingRecords(context),
    ...context.cluster.hosts.flatMap((host) => missingOnHost(host, context)),
  ];
}

function missingRecords({ records }: CheckContext): readonly string[] {
  const missing: string[] = [];
  for (const { id, removing, spec } of records.networks.values()) {
    if (removing && !isUsed(spec?.name ?? "", records))
      missing.push(`network ${spec?.name} (${id}) is not removed yet`);
  }
  for (const { networkId, nodeId } of records.ranges.values()) {
    if (!records.networks.has(networkId))
      missing.push(`${nodeId} has a range of ${networkId}, which no longer exists`);
    if (!records.nodes.has(nodeId))
      missing.push(`a range of ${networkId} belongs to ${nodeId}, which no longer exists`);
  }
  for (const { id: serviceId, spec } of records.services.values()) {
    if (spec?.endpointMode === EndpointMode.DNSRR) continue;
    for (const name of networkNames(spec)) {
      const network = records.networkNamed(name);
      const vip = records.vips.get(`${network?.id ?? ""}/${serviceId}`);
      if (vip?.releasedAtMs !== 0 && hasFreeVirtualIp(network, records))
        missing.push(`${spec?.name} has no virtual IP in ${name}`);
    }
  }
  for (const { networkId, serviceId } of records.vips.values()) {
    if (!records.networks.has(networkId))
      missing.push(`${serviceId} has an address in ${networkId}, which no longer exists`);
  }
  return missing;
}

/** Returns false if all virtual IPs of the network are in use or were released less than an hour ago. */
function hasFreeVirtualIp(network: Network | undefined, records: Records): boolean {
  const subnet = parseSubnet(network?.subnet ?? "");
  if (network === undefined || subnet === undefined) return false;
  const vips = [...records.vips.values()].filter(({ networkId }) => networkId === network.id);
  const taken = vips.flatMap(({ address }) => parseIpv4(address) ?? []);
  return pickVirtualIp(subnet, new Set(taken)) !== undefined;
}

function isUsed(name: string, records: Records): boolean {
  if ([...records.services.values()].some(({ spec }) => networkNames(spec).includes(name))) return true;
  return [...records.tasks.values()].some((task) => !isFinal(task) && isIn(task, name, records));
}

function isIn({ serviceId, specVersion }: Task, name: string, records: Records): boolean {
  return networkNames(records.specOf(serviceId, specVersion)).includes(name);
}

/** Returns whether the service's tasks keep running, or its job completes. */
function isSteady(spec: ServiceSpec | undefined): boolean {
  const image = spec?.task?.container?.image ?? "";
  return isJob(spec) ? spec?.cron === undefined && isJobImage(image) : isGoodImage(image);
}

function missingOnHost(host: SimHost, context: CheckContext): readonly string[] {
  const { records } = context;
  const used = usedNetworks(host, context);
  const missing: string[] = [];
  const mayBeUsed = new Set(used.keys());
  for (const { spec } of records.services.values()) {
    if (!isSteady(spec))
      for (const name of networkNames(spec)) mayBeUsed.add(records.networkNamed(name)?.id ?? "");
  }
  for (const { name, body } of host.docker.networks.ours) {
    const id = networkIdOf(body);
    if (!mayBeUsed.has(id)) missing.push(`network ${name} (${id}) is left over on ${host.name}`);
  }
  const vnis = new Set([...mayBeUsed].map((id) => records.networks.get(id)?.vni));
  for (const device of host.docker.devices.links.keys()) {
    const vni = vniOfTunnel(device);
    if (vni !== undefined && !vnis.has(vni)) missing.push(`${device} is left over on ${host.name}`);
  }
  const steady = [...used].flatMap(([id, isBySteady]) => (isBySteady ? [id] : []));
  for (const id of steady) missing.push(...missingOfNetwork(host, id, context));
  return [
    ...missing,
    ...missingPorts(host, context),
    ...missingNames(host, new Set(steady), context),
    ...missingDnsClients(host, context),
    ...missingListeners(host, context),
  ];
}

/** Returns the IDs of the networks assigned to the host, with whether a steady service uses each. */
function usedNetworks({ nodeId }: SimHost, { records }: CheckContext): ReadonlyMap<string, boolean> {
  const used = new Map<string, boolean>();
  for (const task of records.tasks.values()) {
    if (task.nodeId !== nodeId || stateOf(task) === TaskState.LOST) continue;
    const isStaying = isSteady(records.services.get(task.serviceId)?.spec);
    for (const name of networkNames(records.specOf(task.serviceId, task.specVersion))) {
      const id = records.networkNamed(name)?.id;
      if (id === undefined || !records.ranges.has(`${id}/${nodeId}`)) continue;
      used.set(id, isStaying || used.get(id) === true);
    }
  }
  return used;
}

/** Checks Docker's network, the tunnel on its bridge, and the tunnel's peers. */
function missingOfNetwork(
  { name, nodeId, address, docker }: SimHost,
  id: string,
  { records }: CheckContext,
): readonly string[] {
  const vni = records.networks.get(id)?.vni ?? 0;
  const missing: string[] = [];
  const own = docker.networks.ours.find(({ body }) => networkIdOf(body) === id);
  const range = records.ranges.get(`${id}/${nodeId}`);
  if (own?.body.IPAM.Config[0]?.IPRange !== range?.range)
    missing.push(`network ${id} is not ${range?.range} on ${name}`);
  const { links } = docker.devices;
  const tunnel = links.get(tunnelName(vni));
  if (tunnel?.master !== bridgeName(vni) || !tunnel.isUp)
    missing.push(`network ${id} has no tunnel on ${name}`);
  if (links.get(bridgeName(vni))?.callsIptables !== true)
    missing.push(`the bridge of ${id} on ${name} is not filtered`);
  // A reinstalled host is two nodes at one address until the old node is removed.
  const addresses = records.rangesOf(id).map((each) => records.nodes.get(each.nodeId)?.description?.address);
  const wanted = addresses.flatMap((each) => (each === undefined || each === address ? [] : [each]));
  const known = docker.devices.peersOf(tunnelName(vni));
  if (textOf(known) !== textOf(new Set(wanted))) {
    missing.push(`network ${id} on ${name} has the peers ${textOf(known)}, expected ${textOf(wanted)}`);
  }
  return missing;
}

function missingPorts({ name, docker }: SimHost, { cluster }: CheckContext): readonly string[] {
  const { nowMs } = cluster.world.scheduler;
  const settled = [...docker.containers.values()].filter(({ startedAtMs }) => nowMs - startedAtMs > FRESH_MS);
  const ports = settled.flatMap((each) =>
    docker.networks.endpointsOf(each).map(({ network }) => portName(each, network)),
  );
  const plain = ports.filter((port) => docker.devices.links.get(port)?.isHairpin !== true);
  return plain.map((port) => `${port} on ${name} gives nothing back to its container`);
}

function missingNames(host: SimHost, used: ReadonlySet<string>, context: CheckContext): readonly string[] {
  const { records } = context;
  const missing: string[] = [];
  const expected = new Map<string, string>();
  const unsteady = new Set<string>();
  for (const service of records.services.values()) {
    for (const name of networkNames(service.spec)) {
      const id = records.networkNamed(name)?.id ?? "";
      const key = `${id}/${service.id}`;
      if (!isSteady(service.spec)) unsteady.add(key);
      else if (used.has(id)) expected.set(key, answersOf(service, id, context));
    }
  }
  const known = new Map(
    host.names.services.map(({ key, vip, endpoints, draining }) => {
      const texts = endpoints.map(({ id, address }) => `${id}=${address}`);
      return [key, `${vip} ${textOf(texts)}${draining.length > 0 ? ` and ${draining.length} draining` : ""}`];
    }),
  );
  const mayBeUsed = usedNetworks(host, context);
  for (const key of new Set([...expected.keys(), ...known.keys()])) {
    const [networkId = ""] = key.split("/");
    const isUncertain = unsteady.has(key) || (!used.has(networkId) && mayBeUsed.has(networkId));
    const [is, shall] = [known.get(key), expected.get(key)];
    if (is !== shall && !isUncertain) missing.push(`${host.name} has ${is} for ${key}, expected ${shall}`);
  }
  return missing;
}

/** Returns the expected DNS entry: the virtual IP and the ready tasks with the addresses that Docker reports. */
function answersOf({ id: serviceId }: Service, networkId: string, context: CheckContext): string {
  const { records } = context;
  const vip = records.vips.get(`${networkId}/${serviceId}`);
  const texts = serving(serviceId, context).flatMap((task) => {
    const address = addressOf(task, networkId, context);
    return address === undefined ? [] : [`${task.id}=${address}`];
  });
  return `${vip?.releasedAtMs === 0 ? vip.address : ""} ${textOf(texts)}`;
}

function serving(serviceId: string, { records }: CheckContext): readonly Task[] {
  return records.tasksOf(serviceId).filter((task) => {
    const isUp = records.nodes.get(task.nodeId)?.state === NodeState.READY;
    return isUp && task.desiredState < DesiredState.SHUTDOWN && isReady(task);
  });
}

function addressOf({ id, nodeId }: Task, networkId: string, { cluster }: CheckContext): string | undefined {
  const host = cluster.hosts.find((each) => each.nodeId === nodeId);
  const container = [...(host?.docker.containers.values() ?? [])].find(({ taskId }) => taskId === id);
  if (host === undefined || container === undefined) return undefined;
  return host.docker.networks
    .endpointsOf(container)
    .find(({ network }) => networkIdOf(network.body) === networkId)?.address;
}

/** Checks that the DNS server knows exactly the containers on the host. */
function missingDnsClients({ name, names, docker }: SimHost, { records }: CheckContext): readonly string[] {
  const isAllSteady = [...records.services.values()].every(({ spec }) => isSteady(spec));
  const known = new Set(names.clients.map(({ address, networkIds }) => `${address} ${textOf(networkIds)}`));
  const expected = new Set<string>();
  for (const container of docker.containers.values()) {
    if (!isSteady(records.services.get(container.serviceId)?.spec)) continue;
    const endpoints = docker.networks.endpointsOf(container);
    const ids = textOf(endpoints.map(({ network }) => networkIdOf(network.body)));
    for (const { address } of endpoints) expected.add(`${address} ${ids}`);
  }
  const lacking = [...expected].filter((asker) => !known.has(asker));
  const surplus = isAllSteady ? [...known].filter((asker) => !expected.has(asker)) : [];
  return [
    ...lacking.map((client) => `the DNS server on ${name} does not know the container with ${client}`),
    ...surplus.map(
      (client) => `the DNS server on ${name} has a container with ${client}, which does not exist`,
    ),
  ];
}

/** Checks that published ports lead to all ready tasks. */
function missingListeners({ name, table }: SimHost, context: CheckContext): readonly string[] {
  const missing: string[] = [];
  for (const { service: serviceName, port, endpoints, draining } of table?.listeners ?? []) {
    const service = context.records.serviceNamed(serviceName);
    if (service !== undefined && !isSteady(service.spec)) continue;
    const shall = service === undefined ? [] : serving(service.id, context).map(({ id }) => id);
    const is = endpoints.map(({ id }) => id);
    if (textOf(is) === textOf(shall) && draining.length === 0) continue;
    missing.push(`${name} sends connections to port ${port} to ${textOf(is)}, expected ${textOf(shall)}`);
  }
  return missing;
}

const textOf = (texts: Iterable<string>): string => [...texts].sort().join(",");
