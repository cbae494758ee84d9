import { existsSync, readdirSync, rmdirSync } from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { isAbandoned, listLabNames, networkHandles } from "./lab-state.js";
import { Lan } from "./lan.js";
import { unmountBelow } from "./mounts.js";
import { CGROUP_ROOT, DATA_ROOT, labPaths, RUN_ROOT } from "./paths.js";
import { findInit, netnsOfHandle, type ProcessRef, processesIn, signalProcess } from "./processes.js";
import { releaseSubnets } from "./subnet.js";
import { waitUntil } from "./wait-until.js";

const DEATH_TIMEOUT_MS = 20_000;
/** What launched a machine only reaps its PID 1; others in the lab's network, a person's shell say, may never end. */
const LAUNCHER_GRACE_MS = 1_000;

/**
 * Removes everything of a lab, whatever state it is in: processes, mounts, interfaces, control groups, folders.
 * Does nothing when there is nothing.
 */
export async function removeLab(lab: string): Promise<void> {
  const { runDir, dataDir } = labPaths(lab);
  await killProcesses(lab);
  await new Lan(lab).remove();
  await Promise.all([unmountBelow(runDir), unmountBelow(dataDir)]);
  removeCgroups(lab);
  await Promise.all(
    [runDir, dataDir].map((folder) => rm(folder, { recursive: true, force: true, maxRetries: 3 })),
  );
  await releaseSubnets(lab);
  for (const root of [RUN_ROOT, DATA_ROOT]) await rmdir(root).catch(() => undefined); // another lab is in it
}

/** Removes test labs whose maker died without doing it. Others' labs are never touched. */
export async function removeAbandonedTestLabs(): Promise<void> {
  for (const lab of await listLabNames()) {
    if (await isAbandoned(lab)) await removeLab(lab);
  }
}

/**
 * Found by their network namespace: it cannot be mistaken for another's, as a recycled pid could.
 * A machine's PID 1 takes everything in it along, and is waited for by what launched it: that one ends by itself.
 */
async function killProcesses(lab: string): Promise<void> {
  const namespaces = networkHandles(lab)
    .map(netnsOfHandle)
    .filter((netns) => netns !== undefined);
  const inits = (): ProcessRef[] => namespaces.map(findInit).filter((init) => init !== undefined);
  const all = (): ProcessRef[] =>
    namespaces.flatMap((netns) => processesIn("net", netns)).filter(({ pid }) => pid !== process.pid);
  const kill = (targets: readonly ProcessRef[]): boolean => {
    for (const target of targets) signalProcess(target, "SIGKILL");
    return targets.length === 0;
  };
  const what = `the processes of lab ${lab} to die`;
  await waitUntil(() => kill(inits()), { what, timeoutMs: DEATH_TIMEOUT_MS });
  await waitUntil(() => all().length === 0, { what, timeoutMs: LAUNCHER_GRACE_MS }).catch(() => undefined);
  await waitUntil(() => kill(all()), { what, timeoutMs: DEATH_TIMEOUT_MS });
}

const CGROUP_MOUNT = "/sys/fs/cgroup";

/** Removes a lab's control groups from every hierarchy, and their common parent with the last lab. */
export function removeCgroups(lab: string): void {
  for (const hierarchy of hierarchies()) {
    removeTree(join(hierarchy, CGROUP_ROOT, lab));
    removeIfEmpty(join(hierarchy, CGROUP_ROOT));
  }
}

/** Version 1 has a folder for each controller, version 2 is the mount itself. */
function hierarchies(): string[] {
  const controllers = existsSync(CGROUP_MOUNT) ? readdirSync(CGROUP_MOUNT) : [];
  return [CGROUP_MOUNT, ...controllers.map((name) => join(CGROUP_MOUNT, name))];
}

/** A control group's files are the kernel's: only folders are removed, the innermost first. */
function removeTree(folder: string): void {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(folder, entry.name));
  }
  removeIfEmpty(folder);
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Not there, or another lab's groups are still in it.
  }
}
