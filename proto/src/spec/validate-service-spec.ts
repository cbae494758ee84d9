import { NetworkMode, ServiceSpec, type TaskSpec } from "../../gen/berth/v1/spec.js";
import { scopedName, serviceNameProblem, stackNameProblem } from "./names.js";
import { validateSharing } from "./owners.js";
import { validateContainer } from "./validate-container.js";
import { validateDependencies } from "./validate-dependencies.js";
import { validateModes } from "./validate-modes.js";
import { validateAttachments } from "./validate-networks.js";
import { validatePlacement } from "./validate-placement.js";
import { validatePorts } from "./validate-ports.js";
import { validateRollout } from "./validate-rollout.js";
import { validateTraffic } from "./validate-traffic.js";
import type { Report, Violation } from "./violation.js";

/**
 * Maximum size of a spec. etcd accepts requests up to 1.5 MiB, and a write contains the spec twice: in the service and
 * in its revision.
 */
const MAX_SPEC_BYTES = 512 * 1024;
/** Smallest memory limit that Docker accepts. */
const MIN_MEMORY_LIMIT_BYTES = 6 * 1024 * 1024;

/**
 * Returns the violations of a spec, in the order of its fields; empty when it is valid. The CLI and the leader call it
 * after `applySpecDefaults`. Does not check rules that depend on the cluster, such as ports of other services.
 */
export function validateServiceSpec(spec: ServiceSpec): readonly Violation[] {
  const violations: Violation[] = [];
  const report: Report = (path, message) => violations.push({ path, message });
  const bytes = encodedBytes(spec);
  // The other checks switch over enums, which protobuf decodes to any number.
  if (typeof bytes === "string") return [{ path: "", message: bytes }];
  validateNames(spec, report);
  if (spec.task === undefined) {
    report("task", "the service has no task template");
  } else {
    validateTask(spec.task, report);
  }
  validateModes(spec, report);
  if (spec.placement !== undefined) validatePlacement(spec.placement, report);
  validateRollout(spec, report);
  validateDependencies(spec, report);
  validatePorts(spec.ports, report);
  validateTraffic(spec, report);
  validateNetworkMode(spec, report);
  validateSharing(spec, report);
  validateAttachments(spec, report);
  validateNumbers(spec, "", report);
  if (bytes > MAX_SPEC_BYTES) {
    report("", `the spec is too large (${bytes} bytes, maximum ${MAX_SPEC_BYTES})`);
  }
  return violations;
}

function validateNames(spec: ServiceSpec, report: Report): void {
  const nameProblem = serviceNameProblem(spec.name);
  if (nameProblem !== undefined) report("name", nameProblem);
  if (spec.stack === "") return;
  const stackProblem = stackNameProblem(spec.stack);
  if (stackProblem !== undefined) {
    report("stack", stackProblem);
  } else if (!spec.name.startsWith(scopedName(spec.stack, ""))) {
    report(
      "name",
      `the name of a service in stack ${spec.stack} must start with ${scopedName(spec.stack, "")}, not ${spec.name}`,
    );
  }
}

function validateTask(task: TaskSpec, report: Report): void {
  if (task.container === undefined) {
    report("task.container", "the task template has no container");
  } else {
    validateContainer(task.container, "task.container", report);
  }
  const amounts = {
    "task.limits.nano_cpus": task.limits?.nanoCpus,
    "task.limits.memory_bytes": task.limits?.memoryBytes,
    "task.reservations.nano_cpus": task.reservations?.nanoCpus,
    "task.reservations.memory_bytes": task.reservations?.memoryBytes,
    "task.reservations.pids": task.reservations?.pids,
    ...genericAmounts(task),
  };
  for (const [path, amount] of Object.entries(amounts)) {
    if (amount !== undefined && amount < 0) report(path, `${amount} is negative`);
  }
  validateReservations(task, report);
  if ((task.restart?.delayMs ?? 0) < 0) report("task.restart.delay_ms", "the delay is negative");
  if ((task.restart?.windowMs ?? 0) < 0) report("task.restart.window_ms", "the window is negative");
}

function genericAmounts({ reservations }: TaskSpec): Readonly<Record<string, number>> {
  const amounts = Object.entries(reservations?.generic ?? {});
  return Object.fromEntries(amounts.map(([kind, amount]) => [`task.reservations.generic.${kind}`, amount]));
}

/** Checks that no reservation exceeds its limit, since the container could never use it. */
function validateReservations(task: TaskSpec, report: Report): void {
  const { limits, reservations } = task;
  if (limits === undefined) return;
  if (limits.memoryBytes > 0 && limits.memoryBytes < MIN_MEMORY_LIMIT_BYTES) {
    report("task.limits.memory_bytes", "the memory limit is below Docker's minimum of 6 MiB");
  }
  if (reservations === undefined) return;
  if (limits.memoryBytes > 0 && reservations.memoryBytes > limits.memoryBytes) {
    report("task.reservations.memory_bytes", "the memory reservation exceeds the limit");
  }
  if (limits.nanoCpus > 0 && reservations.nanoCpus > limits.nanoCpus) {
    report("task.reservations.nano_cpus", "the CPU reservation exceeds the limit");
  }
  if (limits.pids > 0 && reservations.pids > limits.pids) {
    report("task.reservations.pids", "the process reservation exceeds the limit");
  }
}

function validateNetworkMode(spec: ServiceSpec, report: Report): void {
  const mode = spec.task?.container?.networkMode;
  if (spec.ports.length === 0) return;
  if (mode === NetworkMode.HOST) report("ports", "a container with network mode host cannot publish ports");
  if (mode === NetworkMode.NONE) report("ports", "a container with network mode none cannot publish ports");
}

/** Paths of the numbers that can be fractions. */
const FRACTIONS: readonly string[] = [
  "update.max_failure_ratio",
  "rollback.max_failure_ratio",
  "autoscale.target_cpu_percent",
  "autoscale.target_connections",
];

/** Checks that all other numbers are integers, since protobuf would truncate or reject fractions. */
function validateNumbers(value: unknown, path: string, report: Report): void {
  if (typeof value === "number" && !Number.isSafeInteger(value) && !FRACTIONS.includes(path)) {
    report(path, `${value} is not an integer`);
  }
  if (typeof value !== "object" || value === null) return;
  for (const [key, child] of Object.entries(value)) {
    const step = Array.isArray(value) ? `[${key}]` : `.${protoName(key)}`;
    validateNumbers(child, path === "" ? protoName(key) : path + step, report);
  }
}

/** Returns the name that a field has in the .proto files. All paths use these names. */
function protoName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Returns the size of the spec in etcd, or why it cannot be stored: a value of an enum that this release does not know. */
function encodedBytes(spec: ServiceSpec): number | string {
  try {
    return Buffer.byteLength(JSON.stringify(ServiceSpec.toJSON(spec)));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return `the spec has a value that this release does not support: ${reason}`;
  }
}
