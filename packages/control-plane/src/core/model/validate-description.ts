import {
  canonicalIp,
  DESCRIPTION_LIMITS,
  hostAddressProblem,
  isDescriptionText,
  NodeDescription,
  PortSpec_Protocol,
  parseSubnet,
} from "@berth/proto";

const HOSTNAME_PATTERN = /^[\p{L}\p{N}_.-]{0,253}$/u;
const DOCKER_NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/;
/** Pattern of a WireGuard key: 32 bytes in Base64, as printed by `wg pubkey`. */
const WIREGUARD_KEY = /^[A-Za-z0-9+/]{43}=$/;
const MAX_PORT = 65_535;
/** Maximum MTU of an IPv4 link. */
const MAX_MTU = 65_535;
const PROTOCOLS: ReadonlySet<PortSpec_Protocol> = new Set([
  PortSpec_Protocol.UNSPECIFIED,
  PortSpec_Protocol.TCP,
  PortSpec_Protocol.UDP,
]);

/** Returns why the value of a field is invalid, or undefined for a valid value. */
type FieldCheck = (description: NodeDescription) => string | undefined;

/**
 * The checks of all fields that an agent sets. Other hosts use the address and the key in commands that run as root,
 * users see the texts in a terminal, and etcd stores the description as one record.
 */
const FIELD_CHECKS: readonly (readonly [field: string, check: FieldCheck])[] = [
  [
    "hostname",
    ({ hostname }) =>
      HOSTNAME_PATTERN.test(hostname) ? undefined : "has characters other than letters, digits, -, _ and .",
  ],
  ["address", ({ address }) => hostAddressProblem(address)],
  ["os", ({ os }) => textProblem(os)],
  ["architecture", ({ architecture }) => textProblem(architecture)],
  ["engine version", ({ engineVersion }) => textProblem(engineVersion)],
  ["engine API version", ({ engineApiVersion }) => textProblem(engineApiVersion)],
  ["agent version", ({ agentVersion }) => textProblem(agentVersion)],
  ["protocol version", ({ protocolVersion }) => amountProblem(protocolVersion)],
  ["CPUs", ({ nanoCpus }) => amountProblem(nanoCpus)],
  ["memory", ({ memoryBytes }) => amountProblem(memoryBytes)],
  ["PID limit", ({ pids }) => amountProblem(pids)],
  [
    "generic resources",
    ({ generic }) =>
      listProblem(
        Object.entries(generic),
        DESCRIPTION_LIMITS.generic,
        ([kind, count]) => DOCKER_NAME_PATTERN.test(kind) && amountProblem(count) === undefined,
      ),
  ],
  [
    "labels",
    ({ engineLabels }) =>
      listProblem(Object.entries(engineLabels), DESCRIPTION_LIMITS.labels, (texts) =>
        texts.every(isDescriptionText),
      ),
  ],
  ["problems", ({ problems }) => listProblem(problems, DESCRIPTION_LIMITS.problems, isDescriptionText)],
  [
    "listeners",
    ({ listeners }) =>
      listProblem(
        listeners,
        DESCRIPTION_LIMITS.listeners,
        ({ protocol, address, port }) =>
          PROTOCOLS.has(protocol) &&
          (address === "" || canonicalIp(address) !== undefined) &&
          port >= 1 &&
          port <= MAX_PORT,
      ),
  ],
  [
    "volumes",
    ({ volumes }) =>
      listProblem(volumes, DESCRIPTION_LIMITS.volumes, (name) => DOCKER_NAME_PATTERN.test(name)),
  ],
  [
    "data plane",
    ({ dataPlane }) =>
      textProblem(dataPlane?.kernelReason ?? "") ??
      textProblem(dataPlane?.overlayReason ?? "") ??
      textProblem(dataPlane?.wireguardReason ?? ""),
  ],
  ["overlay MTU", ({ dataPlane }) => ((dataPlane?.overlayMtu ?? 0) <= MAX_MTU ? undefined : "is too large")],
  ["WireGuard key", ({ dataPlane }) => wireguardKeyProblem(dataPlane?.wireguardPublicKey ?? "")],
  [
    "subnets",
    ({ dataPlane }) =>
      listProblem(
        dataPlane?.subnets ?? [],
        DESCRIPTION_LIMITS.subnets,
        (text) => parseSubnet(text) !== undefined,
      ),
  ],
  [
    "addresses",
    ({ dataPlane }) =>
      listProblem(
        dataPlane?.addresses ?? [],
        DESCRIPTION_LIMITS.addresses,
        (address) => canonicalIp(address) === address,
      ),
  ],
];

/** Returns why the leader refuses an agent's description of its host, or undefined for a valid description. */
export function descriptionProblem(description: NodeDescription): string | undefined {
  for (const [field, check] of FIELD_CHECKS) {
    const problem = check(description);
    if (problem !== undefined) return `${field} ${problem}`;
  }
  const bytes = descriptionBytes(description);
  return bytes <= DESCRIPTION_LIMITS.bytes
    ? undefined
    : `its size of ${bytes} bytes exceeds the limit of ${DESCRIPTION_LIMITS.bytes}`;
}

/** Returns the size of a description on the wire. */
export function descriptionBytes(description: NodeDescription): number {
  return NodeDescription.encode(description).finish().length;
}

function textProblem(text: string): string | undefined {
  return isDescriptionText(text) ? undefined : "has control characters or is too long";
}

function amountProblem(amount: number): string | undefined {
  return Number.isSafeInteger(amount) && amount >= 0 ? undefined : "is not a whole number of at least 0";
}

function wireguardKeyProblem(key: string): string | undefined {
  return key === "" || WIREGUARD_KEY.test(key) ? undefined : "is not a key";
}

function listProblem<T>(
  items: readonly T[],
  limit: number,
  isValid: (item: T) => boolean,
): string | undefined {
  if (items.length > limit) return `has ${items.length} entries, and the limit is ${limit}`;
  const invalid = items.findIndex((item) => !isValid(item));
  return invalid === -1 ? undefined : `has an invalid entry (number ${invalid + 1})`;
}
