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
const KNOWN_HEALTH: ReadonlySet<Health> = new Set(Object.values(Health));
const PROTOCOLS: ReadonlySet<PortSpec_Protocol> = new Set([PortSpec_Protocol.TCP, PortSpec_Protocol.UDP]);
/** Maximum number of rejected values in the log message. */
const MAX_LOGGED_VALUES = 5;
/** Maximum length of a rejected value in the log message. */
const MAX_LOGGED_LENGTH = 64;
/** Pattern of a unicast MAC address. Multicast addresses have an odd first byte. */
const MAC_ADDRESS = /^(?!00:00:00:00:00:00)[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/;

/** The addresses that a task on a node can have. */
export interface AddressLeases {
  /** Returns the node's lease in a network. */
  leaseIn(networkId: string): NetworkRange | undefined;
  /** Returns the static address of the task's service in a network. */
  staticAddress(networkId: string): string | undefined;
}

export interface CheckedStatus {
  readonly status: TaskStatus;
  /** The first rejected values, shortened for the log. */
  readonly rejected: readonly string[];
}

/**
 * Rejects unknown health values, and addresses and ports that the node cannot assign to a container, because other hosts
 * send connections to them. Returns the status without the rejected values. An address must be in the node's leased range, or be
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
  const hasKnownHealth = KNOWN_HEALTH.has(status.health);
  const isComplete =
    hasKnownHealth &&
    ports.length === status.ports.length &&
    addresses.length === status.addresses.length &&
    addresses.every(hasValidMac);
  if (isComplete) return { status, rejected: [] };
  const keptAddresses = new Set(addresses);
  const rejected = [
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
      addresses: addresses.map((attachment) =>
        hasValidMac(attachment) ? attachment : { ...attachment, macAddress: "" },
      ),
    },
    rejected: rejected
      .slice(0, MAX_LOGGED_VALUES)
      .map((text) => JSON.stringify(text.slice(0, MAX_LOGGED_LENGTH))),
  };
}

function isValidPort({ protocol, target, hostPort }: HostPort): boolean {
  return PROTOCOLS.has(protocol || PortSpec_Protocol.TCP) && isPort(target) && isPort(hostPort);
}

function isPort(port: number): boolean {
  return port >= 1 && port <= MAX_PORT;
}

/** Accepts an empty MAC address, which agents report if Docker derives the address from the IP address. */
function hasValidMac({ macAddress }: TaskAddress): boolean {
  return macAddress === "" || MAC_ADDRESS.test(macAddress);
}

function isLeased({ networkId, address: text }: TaskAddress, leases: AddressLeases): boolean {
  const address = parseIpv4(text);
  const lease = leases.leaseIn(networkId);
  if (address === undefined || lease === undefined || text === lease.gateway) return false;
  const range = parseSubnet(lease.range);
  return text === leases.staticAddress(networkId) || (range !== undefined && subnetHas(range, address));
}
