import { NetworkMode, ServiceSpec, type TaskSpec } from "../../gen/berth/v1/spec.js";
import { scopedName, serviceNameProblem, stackNameProblem } from "./names.js";
import { validateContainer } from "./validate-container.js";
import { validateDependencies } from "./validate-dependencies.js";
import { validateModes } from "./validate-modes.js";
import { validateAttachments } from "./validate-networks.js";
import { validatePlacement } from "./validate-placement.js";
import { validatePorts } from "./validate-ports.js";
import { validateRollout } from "./validate-rollout.js";
import { validateTraffic } from "./validate-traffic.js";
import type { Report, Violation } from "./violation.js";

/** etcd takes requests up to 1.5 MiB; a write holds the spec twice (the service and its revision). */
const MAX_SPEC_BYTES = 512 * 1024;
/** Docker's own smallest limit. */
const MIN_MEMORY_LIMIT_BYTES = 6 * 1024 * 1024;

/**
 * Everything that is wrong with a spec by itself, in the order of its fields; empty when it can be stored.
 * Expects the defaults to be filled in. What depends on the cluster (ports that others hold, room on nodes)
 * is not looked at.
 */
export function validateServiceSpec(spec: ServiceSpec): readonly Violation[] {
  const violations: Violation[] = [];
  const report: Report = (path, message) => violations.push({ path, message });
  validateNames(spec, report);
  if (spec.task === undefined) report("task", "the service says nothing about what to run");
  else validateTask(spec.task, report);
  validateModes(spec, report);
  if (spec.placement !== undefined) validatePlacement(spec.placement, report);
  validateRollout(spec, report);
  validateDependencies(spec, report);
  validatePorts(spec.ports, report);
  validateTraffic(spec, report);
  validateNetworkMode(spec, report);
  validateAttachments(spec, report);
  validateNumbers(spec, "", report);
  validateSize(spec, report);
  return violations;
}

function validateNames(spec: ServiceSpec, report: Report): void {
  const nameProblem = serviceNameProblem(spec.name);
  if (nameProblem !== undefined) report("name", nameProblem);
  if (spec.stack === "") return;
  const stackProblem = stackNameProblem(spec.stack);
  if (stackProblem !== undefined) report("stack", stackProblem);
  else if (!spec.name.startsWith(scopedName(spec.stack, ""))) {
    report(
      "name",
      `a service of stack ${spec.stack} is called ${scopedName(spec.stack, "NAME")}, not ${spec.name}`,
    );
  }
}

function validateTask(task: TaskSpec, report: Report): void {
  if (task.container === undefined) report("task.container", "the service says nothing about its container");
  else validateContainer(task.container, "task.container", report);
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
  validateRoom(task, report);
  if ((task.restart?.delayMs ?? 0) < 0) report("task.restart.delay_ms", "the delay is negative");
  if ((task.restart?.windowMs ?? 0) < 0) report("task.restart.window_ms", "the window is negative");
}

function genericAmounts({ reservations }: TaskSpec): Readonly<Record<string, number>> {
  const amounts = Object.entries(reservations?.generic ?? {});
  return Object.fromEntries(amounts.map(([kind, amount]) => [`task.reservations.generic.${kind}`, amount]));
}

/** A reservation above the limit would set aside room that the container may never use. */
function validateRoom(task: TaskSpec, report: Report): void {
  const { limits, reservations } = task;
  if (limits === undefined) return;
  if (limits.memoryBytes > 0 && limits.memoryBytes < MIN_MEMORY_LIMIT_BYTES) {
    report("task.limits.memory_bytes", "Docker needs a memory limit of at least 6 MiB");
  }
  if (reservations === undefined) return;
  if (limits.memoryBytes > 0 && reservations.memoryBytes > limits.memoryBytes) {
    report("task.reservations.memory_bytes", "more memory is reserved than the limit allows");
  }
  if (limits.nanoCpus > 0 && reservations.nanoCpus > limits.nanoCpus) {
    report("task.reservations.nano_cpus", "more CPU is reserved than the limit allows");
  }
  if (limits.pids > 0 && reservations.pids > limits.pids) {
    report("task.reservations.pids", "more processes are reserved than the limit allows");
  }
}

function validateNetworkMode(spec: ServiceSpec, report: Report): void {
  const mode = spec.task?.container?.networkMode;
  if (spec.ports.length === 0) return;
  if (mode === NetworkMode.HOST)
    report("ports", "a container in the host's network publishes no ports: it has the host's own");
  if (mode === NetworkMode.NONE) report("ports", "a container without network publishes no ports");
}

/** The few numbers of a spec that may be fractions. */
const FRACTIONS: readonly string[] = [
  "update.max_failure_ratio",
  "rollback.max_failure_ratio",
  "autoscale.target_cpu_percent",
  "autoscale.target_connections",
];

/** All other numbers are whole: what is not would be lost, or refused, on the wire. */
function validateNumbers(value: unknown, path: string, report: Report): void {
  if (typeof value === "number" && !Number.isSafeInteger(value) && !FRACTIONS.includes(path))
    report(path, `${value} is not a whole number`);
  if (typeof value !== "object" || value === null) return;
  for (const [key, child] of Object.entries(value)) {
    const step = Array.isArray(value) ? `[${key}]` : `.${protoName(key)}`;
    validateNumbers(child, path === "" ? protoName(key) : path + step, report);
  }
}

/** `memoryBytes` as the .proto files spell it, which is how all paths here do. */
function protoName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function validateSize(spec: ServiceSpec, report: Report): void {
  const bytes = Buffer.byteLength(JSON.stringify(ServiceSpec.toJSON(spec)));
  if (bytes > MAX_SPEC_BYTES) report("", `the service takes ${bytes} bytes, ${MAX_SPEC_BYTES} are possible`);
}
