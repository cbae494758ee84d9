import { NetworkMode, type NetworkSpec, type ServiceSpec } from "../../gen/berth/v1/spec.js";
import { networkNameProblem, scopedName, stackNameProblem } from "./names.js";
import { parseIpv4, parseSubnet } from "./subnet.js";
import type { Report, Violation } from "./violation.js";

/** A smaller network has no room for several hosts; a larger one is more than all private addresses. */
const SUBNET_PREFIX = { min: 8, max: 26 };
/** What IPv4 needs at least (RFC 791), and the largest that Linux gives a bridge. */
const MTU = { min: 68, max: 65_535 };
/** A container has an interface for each. */
const MAX_NETWORKS = 32;
const MAX_ALIASES = 128;
/** RFC 1035: a name has at most 253 characters. Docker asks no more of them than that they are none of its own. */
const ALIAS = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?$/;

/** Everything that is wrong with a network by itself. */
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
    report("mtu", `${spec.mtu} bytes are not possible: ${MTU.min} to ${MTU.max}`);
  }
  return violations;
}

/** What is wrong with the subnet of a network; undefined when it can be one. */
export function subnetProblem(text: string): string | undefined {
  const subnet = parseSubnet(text);
  if (subnet === undefined) return `${JSON.stringify(text)} is no IPv4 subnet, such as 10.20.0.0/16`;
  const { prefix } = subnet;
  if (prefix >= SUBNET_PREFIX.min && prefix <= SUBNET_PREFIX.max) return undefined;
  return `a subnet with a prefix of ${prefix} is not possible: /${SUBNET_PREFIX.min} to /${SUBNET_PREFIX.max}, so that each host gets a part of it`;
}

/** Checks the networks of a service, each alone and against the rest of the spec. */
export function validateAttachments(spec: ServiceSpec, report: Report): void {
  const networks = spec.task?.networks ?? [];
  if (networks.length === 0) return;
  const { networkMode } = spec.task?.container ?? {};
  if (networkMode === NetworkMode.HOST || networkMode === NetworkMode.NONE) {
    report("task.networks", "a container in the host's network, or in none, joins no other networks");
  }
  if (networks.length > MAX_NETWORKS) {
    report("task.networks", `${networks.length} networks are too many, ${MAX_NETWORKS} are possible`);
    return;
  }
  const seen = new Set<string>();
  networks.forEach(({ network, aliases, ipv4Address }, index) => {
    const path = `task.networks[${index}]`;
    const problem = networkNameProblem(network);
    if (problem !== undefined) report(`${path}.network`, problem);
    else if (seen.has(network)) report(path, `${network} is named twice`);
    seen.add(network);
    if (aliases.length > MAX_ALIASES) report(`${path}.aliases`, `at most ${MAX_ALIASES} are possible`);
    for (const alias of aliases) {
      if (!ALIAS.test(alias)) report(`${path}.aliases`, `${JSON.stringify(alias)} cannot be a host's name`);
    }
    if (ipv4Address !== "") validateAddress(spec, ipv4Address, { path, report });
  });
}

function validateAddress(
  { mode, autoscale }: ServiceSpec,
  address: string,
  { path, report }: { readonly path: string; readonly report: Report },
): void {
  if (parseIpv4(address) === undefined) {
    report(`${path}.ipv4_address`, `${JSON.stringify(address)} is no IPv4 address`);
  }
  const isSingle = mode?.$case === "replicated" && mode.value.replicas <= 1 && autoscale === undefined;
  if (!isSingle) {
    report(`${path}.ipv4_address`, "only a service with one replica can have an address of its own");
  }
}

/** The network that a stack's services join when they name none. */
export function defaultNetworkName(stack: string): string {
  return scopedName(stack, "default");
}
