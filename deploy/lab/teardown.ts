import { existsSync, readdirSync, rmdirSync } from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { isAbandoned, listLabNames, listNetnsHandles } from "./lab-state.js";
import { Lan } from "./lan.js";
import { unmountBelow } from "./mounts.js";
import { CGROUP_ROOT, DATA_ROOT, labPaths, RUN_ROOT } from "./paths.js";
import { findInit, listProcesses, type ProcessRef, readNetnsHandle, signalProcess } from "./processes.js";
import { releaseSubnets } from "./subnet.js";
import { waitUntil } from "./wait-until.js";

/** Timeout until killed processes are gone, which is only after their pending disk writes. */
const PROCESS_END_TIMEOUT_MS = 20_000;
/**
 * Time for the launchers to exit after their machines' PID 1. Other processes, such as a user's shell, are then killed.
 */
const LAUNCHER_GRACE_MS = 1_000;

/**
 * Removes a lab in any state: its processes, mounts, interfaces, cgroups and directories. Does nothing if the lab does
 * not exist.
 */
export async function removeLab(lab: string): Promise<void> {
  const { runDir, dataDir } = labPaths(lab);
  await killProcesses(lab);
  await new Lan(lab).remove();
  await Promise.all([unmountBelow(runDir), unmountBelow(dataDir)]);
  removeCgroups(lab);
  await Promise.all(
    [runDir, dataDir].map((directory) => rm(directory, { recursive: true, force: true, maxRetries: 3 })),
  );
  await releaseSubnets(lab);
  // rmdir fails while another lab uses the directory.
  for (const root of [RUN_ROOT, DATA_ROOT]) await rmdir(root).catch(() => undefined);
}

/** Removes the test labs whose creators have ended. */
export async function removeAbandonedTestLabs(): Promise<void> {
  for (const lab of await listLabNames()) {
    if (await isAbandoned(lab)) await removeLab(lab);
  }
}

/**
 * Kills all processes of a lab. Finds them by network namespace, because a stored PID may belong to another process by
 * now. The kernel ends a machine's processes with its PID 1. Other processes in the lab's networks are killed last.
 */
async function killProcesses(lab: string): Promise<void> {
  const namespaces = listNetnsHandles(lab)
    .map(readNetnsHandle)
    .filter((netns) => netns !== undefined);
  const findInits = (): ProcessRef[] => namespaces.map(findInit).filter((init) => init !== undefined);
  const findAll = (): ProcessRef[] =>
    namespaces.flatMap((netns) => listProcesses("net", netns)).filter(({ pid }) => pid !== process.pid);
  /** Kills the processes that `find` returns. Returns true once there are none. */
  const killAll = (find: () => readonly ProcessRef[]): boolean => {
    const targets = find();
    for (const target of targets) signalProcess(target, "SIGKILL");
    return targets.length === 0;
  };
  const what = `the processes of lab ${lab} to end`;
  await waitUntil(() => killAll(findInits), { what, timeoutMs: PROCESS_END_TIMEOUT_MS });
  // The next call kills the processes that remain.
  await waitUntil(() => findAll().length === 0, { what, timeoutMs: LAUNCHER_GRACE_MS }).catch(
    () => undefined,
  );
  await waitUntil(() => killAll(findAll), { what, timeoutMs: PROCESS_END_TIMEOUT_MS });
}

const CGROUP_MOUNT = "/sys/fs/cgroup";

/** Removes a lab's cgroups from every hierarchy, and their parent if this was the last lab. */
export function removeCgroups(lab: string): void {
  for (const hierarchy of listCgroupHierarchies()) {
    removeTree(join(hierarchy, CGROUP_ROOT, lab));
    removeIfEmpty(join(hierarchy, CGROUP_ROOT));
  }
}

/**
 * Returns the roots of all cgroup hierarchies: one directory per controller in version 1, the mount itself in version
 * 2.
 */
function listCgroupHierarchies(): string[] {
  const controllers = existsSync(CGROUP_MOUNT) ? readdirSync(CGROUP_MOUNT) : [];
  return [CGROUP_MOUNT, ...controllers.map((name) => join(CGROUP_MOUNT, name))];
}

/** Removes a cgroup and its children. Only directories can be removed; the kernel owns the files. */
function removeTree(directory: string): void {
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(directory, entry.name));
  }
  removeIfEmpty(directory);
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // The cgroup does not exist, or contains those of another lab.
  }
}
