import {
  Health,
  type HostPort,
  type NetworkRange,
  PortSpec_Protocol,
  parseIpv4,
  parseSubnet,
  subnetHas,
  type TaskAddress,
  type TaskStatus,
} from "@berth/proto";

const MAX_PORT = 65_535;
const HEALTHS: ReadonlySet<Health> = new Set(
  Object.values(Health).filter((value) => typeof value === "number"),
);
const PROTOCOLS: ReadonlySet<PortSpec_Protocol> = new Set([PortSpec_Protocol.TCP, PortSpec_Protocol.UDP]);
/** Maximum number of refused values in the log message. */
const MAX_REFUSED = 5;

/** Maximum length of a refused value in the log message. */
const MAX_REFUSED_LENGTH = 64;
/** Pattern of a unicast MAC address. Multicast addresses have an odd first byte. */
const MAC_ADDRESS = /^(?!00:00:00:00:00:00)[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/;

/** The addresses that a task on a node can have. */
export interface AddressLeases {
  /** Returns the range that the node has leased in a network. */
  range(networkId: string): NetworkRange | undefined;
  /** Returns the static address of the task's service in a network. */
  staticAddress(networkId: string): string | undefined;
}

export interface CheckedStatus {
  readonly status: TaskStatus;
  /** The values that were left out. */
  readonly refused: readonly string[];
}

/**
 * Returns a reported status without unknown health values, and without addresses and ports that the node cannot assign
 * to a container, because other hosts send connections to them. An address must be in the node's leased range, or be
 * the static address of the service.
 */
export function checkReportedStatus(status: TaskStatus, leases: AddressLeases): CheckedStatus {
  const ports = status.ports.filter(isValidPort);
  const networkIds = new Set<string>();
  const addresses = status.addresses.filter((attachment) => {
    if (networkIds.has(attachment.networkId) || !isLeased(attachment, leases)) return false;
    networkIds.add(attachment.networkId);
    return true;
  });
  const hasKnownHealth = HEALTHS.has(status.health);
  const isComplete =
    hasKnownHealth &&
    ports.length === status.ports.length &&
    addresses.length === status.addresses.length &&
    addresses.every(hasValidMac);
  if (isComplete) return { status, refused: [] };
  const keptAddresses = new Set(addresses);
  const refused = [
    ...(hasKnownHealth ? [] : [`health ${status.health}`]),
    ...status.addresses.filter((attachment) => !keptAddresses.has(attachment)).map(({ address }) => address),
    ...addresses.filter((attachment) => !hasValidMac(attachment)).map(({ macAddress }) => macAddress),
    ...status.ports.filter((port) => !isValidPort(port)).map(({ hostPort }) => `port ${hostPort}`),
  ];
  return {
    status: {
      ...status,
      health: hasKnownHealth ? status.health : Health.UNSPECIFIED,
      ports,
      addresses: addresses.map((each) => (hasValidMac(each) ? each : { ...each, macAddress: "" })),
    },
    refused: refused.slice(0, MAX_REFUSED).map((text) => JSON.stringify(text.slice(0, MAX_REFUSED_LENGTH))),
  };
}

const isValidPort = ({ protocol, target, hostPort }: HostPort): boolean =>
  PROTOCOLS.has(protocol || PortSpec_Protocol.TCP) && isPort(target) && isPort(hostPort);

const isPort = (port: number): boolean => port >= 1 && port <= MAX_PORT;

/** Accepts an empty MAC address, which agents report if Docker derives the address from the IP address. */
const hasValidMac = ({ macAddress }: TaskAddress): boolean =>
  macAddress === "" || MAC_ADDRESS.test(macAddress);

function isLeased({ networkId, address: text }: TaskAddress, leases: AddressLeases): boolean {
  const address = parseIpv4(text);
  const lease = leases.range(networkId);
  if (address === undefined || lease === undefined || text === lease.gateway) return false;
  const range = parseSubnet(lease.range);
  return text === leases.staticAddress(networkId) || (range !== undefined && subnetHas(range, address));
}
