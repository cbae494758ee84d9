import { assertNever, compareVersions } from "@berth/proto";
import type { HostFacts } from "./host-facts.js";

/** Role that a host gets. */
export type HostRole = "node" | "server";

/** The cluster's view of the host. */
export interface Membership {
  /** The ID in the certificate of the host. */
  readonly id: string;
  /** Name of the cluster in the certificate of the host. */
  readonly cluster: string;
  /**
   * Entry of the host in the cluster. Undefined if there is none: the host belongs to another cluster, or was removed.
   */
  readonly listed:
    | {
        /** Whether a node is ready, or a server is up. */
        readonly isReady: boolean;
        /** Labels of the node. Empty for a server. */
        readonly labels: Readonly<Record<string, string>>;
      }
    | undefined;
}

export interface AddRequest {
  readonly role: HostRole;
  /** "host:port" of each server of the cluster. */
  readonly servers: readonly string[];
  /** Labels for the node. */
  readonly labels: Readonly<Record<string, string>>;
  /** The address at which other hosts reach this one. */
  readonly address: string;
  /** The release of the package that the command installs. */
  readonly version: string;
  /** Time by which the host's clock is ahead of the cluster's. */
  readonly clockAheadMs: number;
}

/** One change of a host or of its record in the cluster. */
export type AddStep =
  /** `packages` are installed from the host's Debian mirror. */
  | { readonly kind: "install"; readonly packages: readonly string[] }
  | { readonly kind: "start-docker" }
  /** Runs `berth doctor` on the host. */
  | { readonly kind: "check" }
  | { readonly kind: "join"; readonly server: string }
  | { readonly kind: "label"; readonly labels: Readonly<Record<string, string>> }
  | { readonly kind: "start"; readonly unit: "berth-agent" | "berth-server" }
  | { readonly kind: "wait" };

export type AddPlan =
  | { readonly kind: "unsuitable"; readonly problems: readonly string[] }
  /** No steps when the host is a member as requested. */
  | { readonly kind: "steps"; readonly steps: readonly AddStep[] };

/** Maximum offset of the host's clock, as in `berth doctor`. Certificates and cron schedules depend on the time. */
const MAX_CLOCK_OFFSET_MS = 30_000;

/** Programs that the package only recommends: the agent works without them, but with fewer features. */
const NODE_PACKAGES = ["conntrack", "wireguard-tools"];

/** Decides how a host becomes a member of the cluster. A member gets only the steps that are missing. */
export function planAdd(facts: HostFacts, member: Membership | undefined, request: AddRequest): AddPlan {
  const problems = findProblems(facts, member, request);
  if (problems.length > 0) return { kind: "unsuitable", problems };
  const unit = request.role === "node" ? "berth-agent" : "berth-server";
  const state = request.role === "node" ? facts.agent : facts.server;
  const isJoined = member !== undefined;
  const labels = missingLabels(request.labels, member?.listed?.labels ?? {});
  const [server = ""] = facts.reachableServers;
  const steps: AddStep[] = [
    ...installStep(facts, request),
    ...(request.role === "node" && facts.docker === "stopped" ? [{ kind: "start-docker" } as const] : []),
    ...(isJoined ? [] : [...checkStep(request.role), { kind: "join", server } as const]),
    // Before the agent starts, so that no task is placed on a node without its labels.
    ...(Object.keys(labels).length > 0 ? [{ kind: "label", labels } as const] : []),
    ...(state.isEnabled && state.isActive ? [] : [{ kind: "start", unit } as const]),
    ...(member?.listed?.isReady === true ? [] : [{ kind: "wait" } as const]),
  ];
  return { kind: "steps", steps };
}

/** `berth doctor` examines a Docker host. */
function checkStep(role: HostRole): readonly AddStep[] {
  return role === "node" ? [{ kind: "check" }] : [];
}

/** Returns the installation of the package, unless the host has this release or a later one. */
function installStep(facts: HostFacts, { role, version }: AddRequest): readonly AddStep[] {
  const missing = role === "node" ? missingDocker(facts) : missingEtcd(facts);
  const isInstalled = facts.berthVersion !== "" && compareVersions(facts.berthVersion, version) >= 0;
  if (isInstalled && missing.length === 0) return [];
  const packages = [...missing, ...(role === "node" && facts.berthVersion === "" ? NODE_PACKAGES : [])];
  return [{ kind: "install", packages }];
}

function missingDocker({ docker }: HostFacts): readonly string[] {
  // Debian's Docker needs the others to start containers and to reach registries, and only recommends them.
  return docker === "missing" ? ["docker.io", "apparmor", "ca-certificates"] : [];
}

function missingEtcd({ hasEtcd }: HostFacts): readonly string[] {
  return hasEtcd ? [] : ["etcd-server"];
}

function findProblems(
  facts: HostFacts,
  member: Membership | undefined,
  { address, clockAheadMs, servers }: AddRequest,
): readonly string[] {
  const { architecture, hasSystemd, os, reachableServers } = facts;
  const problems: string[] = [];
  if (architecture === "") {
    problems.push(
      `it runs ${os}, which has no dpkg: berth is installed as a Debian package; docs/package.md describes archives for other systems`,
    );
  }
  if (!hasSystemd) {
    problems.push("systemd does not run there; start berth by hand, as docs/package.md describes");
  }
  if (Math.abs(clockAheadMs) > MAX_CLOCK_OFFSET_MS) {
    problems.push(
      `its clock is ${describeOffset(clockAheadMs)} the cluster's; synchronize it, for example with "timedatectl set-ntp true"`,
    );
  }
  if (reachableServers.length === 0) {
    problems.push(
      `it cannot connect to ${servers.join(" or ")}: the port is closed, or the address is not for other hosts; check firewalls, and --listen or --advertise of the servers`,
    );
  }
  if (/^127\.|^::1$|^$/.test(address) && member === undefined) {
    problems.push(
      `other hosts cannot reach it at ${address === "" ? "an unknown address" : address}; set --advertise to its address`,
    );
  }
  if (member !== undefined && member.listed === undefined) {
    problems.push(
      `it has joined the cluster ${member.cluster} as ${member.id}, which this cluster does not list; run "berth host rm" for it first`,
    );
  }
  return problems;
}

function describeOffset(aheadMs: number): string {
  const seconds = Math.round(Math.abs(aheadMs) / 1_000);
  return `${seconds} s ${aheadMs > 0 ? "ahead of" : "behind"}`;
}

function missingLabels(
  wanted: Readonly<Record<string, string>>,
  present: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(wanted).filter(([key, value]) => present[key] !== value));
}

/** Returns what a step does: "install berth 0.2.0". */
export function describeAddStep(step: AddStep, { version }: Pick<AddRequest, "version">): string {
  switch (step.kind) {
    case "install":
      return `install ${[`berth ${version}`, ...step.packages].join(", ")}`;
    case "start-docker":
      return "start Docker";
    case "check":
      return "check the host with berth doctor";
    case "join":
      return `join the cluster at ${step.server}`;
    case "label":
      return `set the labels ${Object.entries(step.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(", ")}`;
    case "start":
      return `start ${step.unit}`;
    case "wait":
      return "wait until it is ready";
    default:
      return assertNever(step);
  }
}
