import type { BlockIo, ContainerSpec, Healthcheck } from "../../gen/berth/v1/spec.js";
import { validateDeviceRequests } from "./device-requests.js";
import { validateFileMounts } from "./files.js";
import { validateNamespaces } from "./host-access.js";
import { imageProblem } from "./image-reference.js";
import { envProblem, validateHooks } from "./validate-hooks.js";
import { validateMounts } from "./validate-mounts.js";
import { ALIAS, MAX_ALIASES } from "./validate-networks.js";
import type { Report } from "./violation.js";

/** Maximum length of a hostname. Docker rejects longer ones. */
const MAX_HOSTNAME_LENGTH = 63;
/** Smallest weight of a block device that the kernel accepts. */
const MIN_BLOCK_IO_WEIGHT = 10;
/** Largest weight of a block device that the kernel accepts. */
const MAX_BLOCK_IO_WEIGHT = 1_000;
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
  validateDeviceRequests(container.deviceRequests, `${path}.device_requests`, report);
  validateHooks(container.postStart, `${path}.post_start`, report);
  validateHooks(container.preStop, `${path}.pre_stop`, report);
  if (container.blockIo !== undefined) validateBlockIo(container.blockIo, `${path}.block_io`, report);
  validateCpuTimes(container, path, report);
  validateLinks(container, `${path}.links`, report);
  if (container.healthcheck !== undefined) {
    validateHealthcheck(container.healthcheck, `${path}.healthcheck`, report);
  }
}

/** Checks the names that only the containers of a service know. */
function validateLinks({ links }: ContainerSpec, path: string, report: Report): void {
  const names = Object.entries(links);
  if (names.length > MAX_ALIASES) report(path, `too many links (${names.length}, maximum ${MAX_ALIASES})`);
  for (const name of names.flat()) {
    if (!ALIAS.test(name)) report(path, `${JSON.stringify(name)} is not a valid hostname`);
  }
}

/** Checks the limits of a container's access to block devices. */
function validateBlockIo(blockIo: BlockIo, path: string, report: Report): void {
  const weights = [blockIo, ...blockIo.weightDevices];
  for (const { weight } of weights) {
    if (weight !== 0 && (weight < MIN_BLOCK_IO_WEIGHT || weight > MAX_BLOCK_IO_WEIGHT)) {
      report(path, `the weight ${weight} is not between ${MIN_BLOCK_IO_WEIGHT} and ${MAX_BLOCK_IO_WEIGHT}`);
    }
  }
  const { readBytes, writeBytes, readOperations, writeOperations } = blockIo;
  const limits = [...readBytes, ...writeBytes, ...readOperations, ...writeOperations];
  for (const { rate } of limits) {
    if (rate < 0) report(path, `the rate ${rate} is negative`);
  }
  for (const { path: device } of [...blockIo.weightDevices, ...limits]) {
    if (!device.startsWith("/")) report(path, `${JSON.stringify(device)} is not the path of a device`);
  }
}

/** Checks the periods and quotas of the CPU schedulers. -1 is no quota. */
function validateCpuTimes(container: ContainerSpec, path: string, report: Report): void {
  const times = {
    cpu_period_us: container.cpuPeriodUs,
    cpu_quota_us: container.cpuQuotaUs,
    cpu_realtime_period_us: container.cpuRealtimePeriodUs,
    cpu_realtime_runtime_us: container.cpuRealtimeRuntimeUs,
  };
  for (const [name, us] of Object.entries(times)) {
    if (us < (name === "cpu_quota_us" ? -1 : 0)) report(`${path}.${name}`, "the time is negative");
  }
}

function validateHealthcheck(check: Healthcheck, path: string, report: Report): void {
  const kind = check.test[0];
  if (kind !== undefined && !HEALTHCHECK_KINDS.includes(kind)) {
    report(`${path}.test`, `the list must start with CMD, CMD-SHELL or NONE, not ${JSON.stringify(kind)}`);
  }
  // As in Docker, the shell gets further items as its arguments.
  if (kind === "CMD-SHELL" && check.test.length < 2) {
    report(`${path}.test`, "CMD-SHELL requires a command line");
  }
  if (kind === "CMD" && check.test.length < 2) report(`${path}.test`, "CMD requires a command");
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
