import { isIP, isIPv4 } from "node:net";
import {
  assertNever,
  type ContainerAddress,
  type IngressEndpoint as EndpointMessage,
  IngressEntry,
  type LocalEndpoint,
  PortSpec_Protocol,
  type PublishedListener,
  parseSubnet,
  type TrafficSpec,
  TrafficSpec_Affinity,
  TrafficSpec_Balance,
} from "@berth/proto";
import {
  type IngressEndpoint,
  type IngressListener,
  type KernelRoute,
  type ListenerError,
  listenerKey,
  type TrafficRules,
} from "../table/ingress-table.js";

const HIGHEST_PORT = 65_535;
/** Maximum hold in a message. Longer than a service may set. */
const MAX_HOLD_MS = 3_600_000;
const AFFINITIES: Readonly<Record<TrafficRules["affinity"], TrafficSpec_Affinity>> = {
  none: TrafficSpec_Affinity.NONE,
  source: TrafficSpec_Affinity.SOURCE,
};
const POLICIES: Readonly<Record<TrafficRules["balance"], TrafficSpec_Balance>> = {
  "round-robin": TrafficSpec_Balance.ROUND_ROBIN,
  "least-connections": TrafficSpec_Balance.LEAST_CONNECTIONS,
};

/** The valid listeners of a message, and an error for each invalid one. */
export interface ParsedListeners {
  readonly listeners: readonly IngressListener[];
  readonly invalid: readonly ListenerError[];
}

/** Converts the listeners of a message to those that the ingress process serves. */
export function parseListeners(messages: readonly PublishedListener[]): ParsedListeners {
  const listeners: IngressListener[] = [];
  const invalid: ListenerError[] = [];
  for (const message of messages) {
    try {
      listeners.push(parseListener(message));
    } catch (error) {
      invalid.push(describeInvalid(message, error));
    }
  }
  return { listeners, invalid };
}

/**
 * Validates one listener in full: it opens a port, and its addresses become part of an nft script.
 *
 * @throws Error with the reason
 */
export function parseListener({ entry, local }: PublishedListener): IngressListener {
  if (entry === undefined) throw new Error("the entry is missing");
  const { hostIp: address, published: port, serviceName: service, stack } = entry;
  check(address === "" || isIP(address) !== 0, `${JSON.stringify(address)} is not an IP address`);
  check(isPort(port), `${port} is not a port`);
  const routes = new Map(local.map(({ taskId, container }) => [taskId, parseDirectRoute(container)]));
  const toEndpoint = (message: EndpointMessage): IngressEndpoint => parseEndpoint(message, routes);
  return {
    protocol: parseProtocol(entry.protocol),
    address,
    port,
    service,
    ...(stack === "" ? {} : { stack }),
    ...(entry.traffic === undefined ? {} : { traffic: parseTraffic(entry.traffic) }),
    ...(entry.holdMs === 0 ? {} : { holdMs: parseHold(entry.holdMs) }),
    endpoints: entry.endpoints.map(toEndpoint),
    draining: entry.draining.map(toEndpoint),
  };
}

/** The inverse of {@link parseListener}. */
export function formatListener(listener: IngressListener): PublishedListener {
  const { protocol, address, port, service, stack = "", traffic, holdMs = 0, endpoints, draining } = listener;
  const entry: IngressEntry = {
    ...IngressEntry.fromPartial({}),
    key: listenerKey(listener),
    protocol: protocol === "udp" ? PortSpec_Protocol.UDP : PortSpec_Protocol.TCP,
    hostIp: address,
    published: port,
    serviceName: service,
    stack,
    holdMs,
    endpoints: endpoints.map(formatEndpoint),
    draining: draining.map(formatEndpoint),
  };
  if (traffic !== undefined) entry.traffic = formatTraffic(traffic);
  return { entry, local: [...endpoints, ...draining].flatMap(formatRoute) };
}

function parseHold(holdMs: number): number {
  check(holdMs > 0 && holdMs <= MAX_HOLD_MS, `${holdMs} ms is not the duration of a hold`);
  return holdMs;
}

function parseProtocol(protocol: PortSpec_Protocol): IngressListener["protocol"] {
  switch (protocol) {
    case PortSpec_Protocol.UNSPECIFIED:
    case PortSpec_Protocol.TCP:
      return "tcp";
    case PortSpec_Protocol.UDP:
      return "udp";
    default:
      return assertNever(protocol);
  }
}

function parseEndpoint(
  { taskId, nodeId, address, port }: EndpointMessage,
  localRoutes: ReadonlyMap<string, KernelRoute | undefined>,
): IngressEndpoint {
  check(isIP(address) !== 0, `endpoint ${taskId}: ${JSON.stringify(address)} is not an IP address`);
  check(isPort(port), `endpoint ${taskId}: ${port} is not a port`);
  const route: KernelRoute | undefined = localRoutes.has(taskId)
    ? localRoutes.get(taskId)
    : { kind: "forward" };
  return {
    id: taskId,
    address,
    port,
    ...(nodeId === "" ? {} : { node: nodeId }),
    ...(route === undefined ? {} : { route }),
  };
}

function parseDirectRoute(container: ContainerAddress | undefined): KernelRoute | undefined {
  if (container === undefined) return undefined;
  const { address, port, subnet } = container;
  check(isIPv4(address), `container address ${JSON.stringify(address)} is not an IPv4 address`);
  check(isPort(port), `container port ${port} is not a port`);
  check(
    subnet === "" || parseSubnet(subnet) !== undefined,
    `${JSON.stringify(subnet)} is not an IPv4 subnet`,
  );
  return { kind: "direct", address, port, subnet };
}

/** Throws for a policy of a newer release instead of silently applying another policy. */
function parseTraffic({ proxyProtocol, affinity, balance }: TrafficSpec): TrafficRules {
  return { proxyProtocol, affinity: parseAffinity(affinity), balance: parseBalance(balance) };
}

function parseAffinity(affinity: TrafficSpec_Affinity): TrafficRules["affinity"] {
  switch (affinity) {
    case TrafficSpec_Affinity.UNSPECIFIED:
    case TrafficSpec_Affinity.NONE:
      return "none";
    case TrafficSpec_Affinity.SOURCE:
      return "source";
    default:
      return unsupported(`affinity ${affinity satisfies never}`);
  }
}

function parseBalance(balance: TrafficSpec_Balance): TrafficRules["balance"] {
  switch (balance) {
    case TrafficSpec_Balance.UNSPECIFIED:
    case TrafficSpec_Balance.ROUND_ROBIN:
      return "round-robin";
    case TrafficSpec_Balance.LEAST_CONNECTIONS:
      return "least-connections";
    default:
      return unsupported(`balancing policy ${balance satisfies never}`);
  }
}

function unsupported(setting: string): never {
  throw new Error(`${setting} is not supported by this release; update berth on this node`);
}

function formatEndpoint({ id, address, port, node = "" }: IngressEndpoint): EndpointMessage {
  return { taskId: id, nodeId: node, address, port };
}

function formatRoute({ id, route }: IngressEndpoint): readonly LocalEndpoint[] {
  switch (route?.kind) {
    case undefined:
      return [{ taskId: id }];
    case "forward":
      return [];
    case "direct":
      return [{ taskId: id, container: { address: route.address, port: route.port, subnet: route.subnet } }];
    default:
      return assertNever(route);
  }
}

function formatTraffic({ proxyProtocol, affinity, balance }: TrafficRules): TrafficSpec {
  return {
    proxyProtocol,
    affinity: AFFINITIES[affinity],
    balance: POLICIES[balance],
  };
}

function describeInvalid({ entry }: PublishedListener, error: unknown): ListenerError {
  const reason = error instanceof Error ? error.message : String(error);
  const { protocol, hostIp: address = "", published: port = 0, serviceName: service = "" } = entry ?? {};
  return {
    protocol: protocol === PortSpec_Protocol.UDP ? "udp" : "tcp",
    address,
    port,
    service,
    code: "EINVAL",
    message: `cannot publish port ${port} for ${service}: invalid listener: ${reason}`,
  };
}

function check(condition: boolean, message: string): void {
  if (!condition) throw new Error(message);
}

function isPort(port: number): boolean {
  return port > 0 && port <= HIGHEST_PORT;
}
