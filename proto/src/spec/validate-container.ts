import type { ContainerSpec, Healthcheck } from "../../gen/berth/v1/spec.js";
import { validateFileMounts } from "./files.js";
import { validateNamespaces } from "./host-access.js";
import { imageProblem } from "./image-reference.js";
import { validateMounts } from "./validate-mounts.js";
import type { Report } from "./violation.js";

/** Docker rejects longer hostnames. */
const MAX_HOSTNAME_LENGTH = 63;
const HEALTHCHECK_KINDS = ["CMD", "CMD-SHELL", "NONE"];

/** Checks the settings of one container, except those that depend on its host. */
export function validateContainer(container: ContainerSpec, path: string, report: Report): void {
  const problem = imageProblem(container.image);
  if (problem !== undefined) report(`${path}.image`, problem);
  container.env.forEach((entry, index) => {
    const reason = envProblem(entry);
    if (reason !== undefined) report(`${path}.env[${index}]`, reason);
  });
  if (container.hostname.length > MAX_HOSTNAME_LENGTH && !container.hostname.includes("{{")) {
    report(
      `${path}.hostname`,
      `the hostname is too long (${container.hostname.length} characters, maximum ${MAX_HOSTNAME_LENGTH})`,
    );
  }
  if (container.workingDir !== "" && !container.workingDir.startsWith("/")) {
    report(`${path}.working_dir`, `${JSON.stringify(container.workingDir)} is not an absolute path`);
  }
  if ((container.stopGraceMs ?? 0) < 0) report(`${path}.stop_grace_ms`, "the grace period is negative");
  if (container.shmSizeBytes < 0) report(`${path}.shm_size_bytes`, "the size is negative");
  if (container.oomScoreAdj !== undefined && Math.abs(container.oomScoreAdj) > 1000) {
    report(`${path}.oom_score_adj`, `${container.oomScoreAdj} is not between -1000 and 1000`);
  }
  validateNamespaces(container, path, report);
  validateMounts(container.mounts, `${path}.mounts`, report);
  validateFileMounts(container, path, report);
  if (container.healthcheck !== undefined) {
    validateHealthcheck(container.healthcheck, `${path}.healthcheck`, report);
  }
}

function envProblem(entry: string): string | undefined {
  if (entry.startsWith("=") || !entry.includes("="))
    return `${JSON.stringify(entry.slice(0, 40))} is not KEY=VALUE`;
  return entry.includes("\0") ? "an environment variable cannot hold a NUL byte" : undefined;
}

function validateHealthcheck(check: Healthcheck, path: string, report: Report): void {
  const kind = check.test[0];
  if (kind !== undefined && !HEALTHCHECK_KINDS.includes(kind)) {
    report(`${path}.test`, `the list must start with CMD, CMD-SHELL or NONE, not ${JSON.stringify(kind)}`);
  }
  // As in Docker, the shell gets further items as its arguments.
  if (kind === "CMD-SHELL" && check.test.length < 2) report(`${path}.test`, "CMD-SHELL needs a command line");
  if (kind === "CMD" && check.test.length < 2) report(`${path}.test`, "CMD needs a command");
  const durations = {
    interval_ms: check.intervalMs,
    timeout_ms: check.timeoutMs,
    start_period_ms: check.startPeriodMs,
    start_interval_ms: check.startIntervalMs,
  };
  for (const [name, ms] of Object.entries(durations)) {
    if (ms < 0) report(`${path}.${name}`, "the duration is negative");
  }
}
