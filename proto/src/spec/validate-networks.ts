import {
  type NetworkAttachment,
  NetworkMode,
  type NetworkSpec,
  type ServiceSpec,
} from "../../gen/berth/v1/spec.js";
import { networkNameProblem, scopedName, stackNameProblem } from "./names.js";
import { parseIpv4, parseSubnet } from "./subnet.js";
import type { Report, Violation } from "./violation.js";

/** A smaller subnet cannot be divided between hosts; a larger one exceeds the private address ranges. */
const SUBNET_PREFIX = { min: 8, max: 26 };
/** IPv4 requires at least 68 bytes (RFC 791), and a Linux bridge allows at most 65535. */
const MTU = { min: 68, max: 65_535 };
/** A limit, because each network is an interface in the container. */
export const MAX_NETWORKS = 32;
const MAX_ALIASES = 128;
/** RFC 1035 limits names to 253 characters. Underscores are allowed as in Docker. */
const ALIAS = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?$/;

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
  if (spec.mtu !== 0 && !(spec.mtu >= MTU.min && spec.mtu <= MTU.max)) {
    report("mtu", `${spec.mtu} bytes is out of range (${MTU.min} to ${MTU.max})`);
  }
  return violations;
}

/** Returns why a text is not a valid subnet for a network; undefined when it is. */
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
    if (problem !== undefined) report(`${path}.network`, problem);
    else if (seen.has(network)) report(path, `${network} is named twice`);
    seen.add(network);
    validateAliases(attachment, `${path}.aliases`, report);
    if (ipv4Address !== "") validateAddress(spec, ipv4Address, { path, report });
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

/** Checks a static address. Two tasks cannot have the same address. */
function validateAddress(
  { mode, autoscale }: ServiceSpec,
  address: string,
  { path, report }: { readonly path: string; readonly report: Report },
): void {
  if (parseIpv4(address) === undefined) {
    report(`${path}.ipv4_address`, `${JSON.stringify(address)} is not an IPv4 address`);
  }
  const hasOneReplica = mode?.$case === "replicated" && mode.value.replicas <= 1 && autoscale === undefined;
  if (!hasOneReplica) {
    report(`${path}.ipv4_address`, "only a service with one replica can have a static address");
  }
}

/** Returns the name of the network that a stack's services join by default. */
export function defaultNetworkName(stack: string): string {
  return scopedName(stack, "default");
}
