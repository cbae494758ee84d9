import {
  type NetworkAttachment,
  NetworkMode,
  type NetworkSpec,
  type ServiceSpec,
} from "../../gen/berth/v1/spec.js";
import { networkNameProblem, scopedName, stackNameProblem } from "./names.js";
import { parseIpv4, parseSubnet } from "./subnet.js";
import type { Report, Violation } from "./violation.js";

/**
 * Range of a subnet's prefix length. A smaller subnet cannot be divided between hosts; a larger one exceeds the private
 * address ranges.
 */
const SUBNET_PREFIX = { min: 8, max: 26 };
/** Range of an MTU. IPv4 requires at least 68 bytes (RFC 791), and a Linux bridge allows at most 65535. */
const MTU_RANGE = { min: 68, max: 65_535 };
/** Maximum number of networks of a service. Each of them is an interface in the container. */
export const MAX_NETWORKS = 32;
/** Pattern of an interface name, which Linux limits to 15 characters. */
const INTERFACE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/;
export const MAX_ALIASES = 128;
/** Pattern of an alias. RFC 1035 limits names to 253 characters. Underscores are allowed as in Docker. */
export const ALIAS = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?$/;

/** Returns the violations of a network's spec; empty when it is valid. */
export function validateNetworkSpec(spec: NetworkSpec): readonly Violation[] {
  const violations: Violation[] = [];
  const report: Report = (path, message) => violations.push({ path, message });
  const nameProblem = networkNameProblem(spec.name);
  if (nameProblem !== undefined) report("name", nameProblem);
  if (spec.stack !== "") {
    const stackProblem = stackNameProblem(spec.stack);
    if (stackProblem !== undefined) report("stack", stackProblem);
  }
  if (spec.subnet !== "") {
    const problem = subnetProblem(spec.subnet);
    if (problem !== undefined) report("subnet", problem);
  }
  if (spec.mtu !== 0 && !(spec.mtu >= MTU_RANGE.min && spec.mtu <= MTU_RANGE.max)) {
    report("mtu", `${spec.mtu} bytes is out of range (${MTU_RANGE.min} to ${MTU_RANGE.max})`);
  }
  return violations;
}

/** Returns why a text is not a valid subnet for a network, or undefined if it is. */
export function subnetProblem(text: string): string | undefined {
  const subnet = parseSubnet(text);
  if (subnet === undefined) return `${JSON.stringify(text)} is not an IPv4 subnet, such as 10.20.0.0/16`;
  const { prefix } = subnet;
  if (prefix >= SUBNET_PREFIX.min && prefix <= SUBNET_PREFIX.max) return undefined;
  return `the prefix length /${prefix} is out of range (/${SUBNET_PREFIX.min} to /${SUBNET_PREFIX.max}), since each host gets a range of the subnet`;
}

/** Checks the networks that a service is attached to. */
export function validateAttachments(spec: ServiceSpec, report: Report): void {
  const networks = spec.task?.networks ?? [];
  if (networks.length === 0) return;
  const { networkMode } = spec.task?.container ?? {};
  if (networkMode === NetworkMode.HOST || networkMode === NetworkMode.NONE) {
    report("task.networks", "a container with network mode host or none cannot join networks");
  }
  if (networks.length > MAX_NETWORKS) {
    report("task.networks", `too many networks (${networks.length}, maximum ${MAX_NETWORKS})`);
    return;
  }
  const seen = new Set<string>();
  networks.forEach((attachment, index) => {
    const path = `task.networks[${index}]`;
    const { network, ipv4Address } = attachment;
    const problem = networkNameProblem(network);
    if (problem !== undefined) {
      report(`${path}.network`, problem);
    } else if (seen.has(network)) {
      report(path, `${network} is named twice`);
    }
    seen.add(network);
    validateAliases(attachment, `${path}.aliases`, report);
    if (ipv4Address !== "") validateAddress(spec, ipv4Address, { path, report });
    validateInterface(spec, attachment, { path, report });
  });
}

function validateAliases({ aliases }: NetworkAttachment, path: string, report: Report): void {
  if (aliases.length > MAX_ALIASES) {
    report(path, `too many aliases (${aliases.length}, maximum ${MAX_ALIASES})`);
  }
  for (const alias of aliases) {
    if (!ALIAS.test(alias)) report(path, `${JSON.stringify(alias)} is not a valid hostname`);
  }
}

interface Place {
  readonly path: string;
  readonly report: Report;
}

/** Checks a static address. Two tasks cannot have the same address. */
function validateAddress(spec: ServiceSpec, address: string, { path, report }: Place): void {
  if (parseIpv4(address) === undefined) {
    report(`${path}.ipv4_address`, `${JSON.stringify(address)} is not an IPv4 address`);
  }
  if (!hasOneReplica(spec)) {
    report(`${path}.ipv4_address`, "only a service with one replica can have a static address");
  }
}

/** Checks the settings of the interface that a container has in a network. */
function validateInterface(
  spec: ServiceSpec,
  { macAddress, linkLocalIps, interfaceName }: NetworkAttachment,
  { path, report }: Place,
): void {
  if (macAddress !== "" && !isUnicastMac(macAddress)) {
    report(`${path}.mac_address`, `${JSON.stringify(macAddress)} is not a unicast MAC address`);
  }
  if (macAddress !== "" && !hasOneReplica(spec)) {
    report(`${path}.mac_address`, "only a service with one replica can have a MAC address");
  }
  linkLocalIps.forEach((address, index) => {
    if (parseIpv4(address) !== undefined && address.startsWith("169.254.")) return;
    const problem = `${JSON.stringify(address)} is not a link-local IPv4 address, such as 169.254.1.1`;
    report(`${path}.link_local_ips[${index}]`, problem);
  });
  if (interfaceName !== "" && !INTERFACE_NAME.test(interfaceName)) {
    report(`${path}.interface_name`, `${JSON.stringify(interfaceName)} is not the name of an interface`);
  }
}

function hasOneReplica({ mode, autoscale }: ServiceSpec): boolean {
  return mode?.$case === "replicated" && mode.value.replicas <= 1 && autoscale === undefined;
}

/**
 * Returns whether text is a MAC address of one interface, not of a group. The lowest bit of the first byte marks a
 * group.
 */
function isUnicastMac(text: string): boolean {
  return /^[0-9a-f][02468ace](?::[0-9a-f]{2}){5}$/.test(text) && text !== "00:00:00:00:00:00";
}

/** Returns the name of the network that a stack's services join by default. */
export function defaultNetworkName(stack: string): string {
  return scopedName(stack, "default");
}
