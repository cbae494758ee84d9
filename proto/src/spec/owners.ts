import { NetworkMode, type ServiceSpec } from "../../gen/berth/v1/spec.js";
import { scopedName, serviceNameProblem, unscopedName } from "./names.js";
import type { Report, Violation } from "./violation.js";

// A companion is a service whose tasks run beside those of other services of its stack, its owners.

/** Maximum number of owners. Each task resolves its owners whenever one of them changes. */
const MAX_OWNERS = 16;

/** A field of a spec that names an owner. */
export interface OwnerReference {
  readonly kind: "beside" | "network" | "pid" | "ipc" | "mounts";
  /** Path of the field in the spec. */
  readonly path: string;
  /** Full name of the owner. */
  readonly service: string;
}

/** Returns the fields of a spec that name owners. */
export function ownerReferences({ placement, task }: ServiceSpec): readonly OwnerReference[] {
  const beside = placement?.beside ?? "";
  const sharing = task?.container?.sharing;
  const path = "task.container.sharing";
  const references: readonly OwnerReference[] = [
    { kind: "network", path: `${path}.network`, service: sharing?.network ?? "" },
    { kind: "pid", path: `${path}.pid`, service: sharing?.pid ?? "" },
    { kind: "ipc", path: `${path}.ipc`, service: sharing?.ipc ?? "" },
    ...(sharing?.mounts ?? []).map(
      ({ service }, index): OwnerReference => ({ kind: "mounts", path: `${path}.mounts[${index}]`, service }),
    ),
    { kind: "beside", path: "placement.beside", service: beside },
  ];
  return references.filter(({ kind, service }) => service !== "" || kind === "mounts");
}

/** Returns the full names of the owners of a service, each once. Empty if the service is no companion. */
export function ownerNames(spec: ServiceSpec): readonly string[] {
  if (spec.task?.container?.sharing === undefined && (spec.placement?.beside ?? "") === "") return [];
  return [...new Set(ownerReferences(spec).map(({ service }) => service))];
}

/**
 * Returns whether a companion shares only mounts with an owner. Its container can then be created from that of a task
 * which has completed, as with Docker's data containers.
 */
export function sharesOnlyMounts(spec: ServiceSpec, owner: string): boolean {
  return ownerReferences(spec).every(({ kind, service }) => kind === "mounts" || service !== owner);
}

/** Checks what a service shares with its owners, as far as its own spec shows. */
export function validateSharing(spec: ServiceSpec, report: Report): void {
  const references = ownerReferences(spec);
  if (references.length === 0) return;
  if (references.length > MAX_OWNERS) {
    const count = references.length;
    report(
      "task.container.sharing",
      `too many references to other services (${count}, maximum ${MAX_OWNERS})`,
    );
    return;
  }
  for (const { path, service } of references) {
    const problem = referenceProblem(spec, service);
    if (problem !== undefined) report(path, problem);
  }
  if (spec.autoscale !== undefined) {
    const [owner = ""] = ownerNames(spec);
    const name = unscopedName(spec.stack, owner);
    report("autoscale", `the service has as many replicas as service ${name}; scale that service instead`);
  }
  validateNamespaceConflicts(spec, report);
}

function referenceProblem({ name, stack }: ServiceSpec, service: string): string | undefined {
  const nameProblem = serviceNameProblem(service);
  if (nameProblem !== undefined) return nameProblem;
  if (service === name) return "a service cannot run beside itself";
  if (stack !== "" && service.startsWith(scopedName(stack, ""))) return undefined;
  return `service ${service} is not in the same stack: a service can only run beside a service of its own stack`;
}

/** Reports the settings that Docker rejects or ignores in a container with the namespaces of another one. */
function validateNamespaceConflicts(spec: ServiceSpec, report: Report): void {
  const container = spec.task?.container;
  const { network = "", pid = "", ipc = "" } = container?.sharing ?? {};
  if (container === undefined) return;
  if (pid !== "" && container.pidMode !== "") {
    report("task.container.pid_mode", "the container already shares the PID namespace of another container");
  }
  if (ipc !== "" && container.ipcMode !== "") {
    report("task.container.ipc_mode", "the container already shares the IPC namespace of another container");
  }
  if (network === "") return;
  const owner = unscopedName(spec.stack, network);
  const hostModes: readonly NetworkMode[] = [NetworkMode.HOST, NetworkMode.NONE];
  const conflicts: Readonly<Record<string, boolean>> = {
    "task.container.network_mode": hostModes.includes(container.networkMode),
    "task.networks": (spec.task?.networks ?? []).length > 0,
    "ports[0]": spec.ports.length > 0,
    "task.container.hostname": container.hostname !== "",
    "task.container.dns": container.dns.length > 0,
    "task.container.extra_hosts": container.extraHosts.length > 0,
  };
  for (const [path, isSet] of Object.entries(conflicts)) {
    if (isSet) report(path, `the container uses the network of service ${owner}; set this there instead`);
  }
}

/** Returns a service by its full name, or undefined if it does not exist. */
export type SpecLookup = (service: string) => ServiceSpec | undefined;

/** Returns the violations of a companion whose owners do not exist or do not match: each task runs beside one of theirs. */
export function ownerViolations(spec: ServiceSpec, lookup: SpecLookup): readonly Violation[] {
  return ownerReferences(spec).flatMap(({ kind, path, service }) => {
    const owner = lookup(service);
    const message =
      owner === undefined
        ? `no such service: ${unscopedName(spec.stack, service)}`
        : (modeProblem(spec, owner) ?? ipcProblem(kind, owner));
    return message === undefined ? [] : [{ path, message }];
  });
}

/** Returns the violations of a service that runs beside itself, through its owners. */
export function ownerCycleViolations(spec: ServiceSpec, lookup: SpecLookup): readonly Violation[] {
  return ownerReferences(spec).flatMap(({ path, service }) => {
    const owner = lookup(service);
    const message = owner && cycleProblem(spec, owner, lookup);
    return message === undefined ? [] : [{ path, message }];
  });
}

/** Returns why the tasks of a companion do not match those of its owner. */
function modeProblem({ mode }: ServiceSpec, owner: ServiceSpec): string | undefined {
  const name = unscopedName(owner.stack, owner.name);
  const kind = owner.mode?.$case;
  if (kind === "replicatedJob" || kind === "globalJob") {
    return `service ${name} is a job, whose tasks end: a service can only run beside a service`;
  }
  if (kind === "global" || mode?.$case === "global" || mode?.$case === "globalJob") {
    const isGlobal = mode?.$case === "global" || mode?.$case === "globalJob";
    if (kind === "global" && isGlobal) return undefined;
    return `service ${name} is ${kind === "global" ? "global" : "replicated"}, but this service is not; use the same mode`;
  }
  const replicas = owner.mode?.$case === "replicated" ? owner.mode.value.replicas : 1;
  if (mode?.$case === "replicatedJob") {
    const { totalCompletions } = mode.value;
    if (totalCompletions <= replicas) return undefined;
    return `the job has ${totalCompletions} tasks, but service ${name} has only ${replicas}: each task runs beside one of them`;
  }
  const specReplicas = mode?.$case === "replicated" ? mode.value.replicas : 1;
  if (specReplicas === replicas) return undefined;
  return `the service has ${specReplicas} replicas, but service ${name} has ${replicas}: each task runs beside one of them`;
}

function ipcProblem(kind: OwnerReference["kind"], owner: ServiceSpec): string | undefined {
  const ipcMode = owner.task?.container?.ipcMode ?? "";
  if (kind !== "ipc" || ipcMode === "shareable" || ipcMode === "host") return undefined;
  const name = unscopedName(owner.stack, owner.name);
  return `service ${name} does not share its IPC namespace; set its IPC mode to shareable`;
}

/** Returns the cycle of services that run beside each other. */
function cycleProblem(spec: ServiceSpec, owner: ServiceSpec, lookup: SpecLookup): string | undefined {
  const visited = new Set<string>();
  const findPath = (current: ServiceSpec): readonly string[] | undefined => {
    if (current.name === spec.name) return [current.name];
    if (visited.has(current.name)) return undefined;
    visited.add(current.name);
    for (const name of ownerNames(current)) {
      const next = name === spec.name ? spec : lookup(name);
      const path = next && findPath(next);
      if (path !== undefined) return [current.name, ...path];
    }
    return undefined;
  };
  const path = findPath(owner);
  if (path === undefined) return undefined;
  const names = [spec.name, ...path].map((name) => unscopedName(spec.stack, name));
  return `services run beside each other in a cycle: ${names.join(" → ")}`;
}
