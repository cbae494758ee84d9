import { readdirSync } from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { removeCgroups } from "./cgroups.js";
import { listLabNames, readLabState } from "./lab-state.js";
import { Lan } from "./lan.js";
import { unmountBelow } from "./mounts.js";
import { DATA_ROOT, labPaths, RUN_ROOT } from "./paths.js";
import { findInit, isAlive, netnsOfHandle, processesIn, signalProcess } from "./processes.js";
import { releaseSubnets } from "./subnet.js";
import { waitUntil } from "./wait-until.js";

const DEATH_TIMEOUT_MS = 20_000;
/** Labs of tests are named with it; they may be swept when whoever made them is gone. */
export const TEST_LAB_PREFIX = "t-";

/** Whether any machine of the lab runs. Without one, whatever else is left of it is only rubbish. */
export function isLabAlive(lab: string): boolean {
  return networkHandles(lab).some((handle) => {
    const netns = netnsOfHandle(handle);
    return netns !== undefined && findInit(netns) !== undefined;
  });
}

/**
 * Removes everything of a lab, whatever state it is in: processes, mounts, interfaces, control groups, folders.
 * Does nothing when there is nothing.
 */
export async function tearDown(lab: string): Promise<void> {
  const { runDir, dataDir } = labPaths(lab);
  await killProcesses(lab);
  await new Lan(lab).remove();
  await Promise.all([unmountBelow(runDir), unmountBelow(dataDir)]);
  removeCgroups(lab);
  await Promise.all([runDir, dataDir].map((folder) => rm(folder, { recursive: true, force: true })));
  await releaseSubnets(lab);
  for (const root of [RUN_ROOT, DATA_ROOT]) await rmdir(root).catch(() => undefined); // another lab is in it
}

/** Removes test labs whose owner died without doing it. Others' labs are never touched. */
export async function sweepDeadTestLabs(): Promise<string[]> {
  const swept: string[] = [];
  for (const lab of await listLabNames()) {
    if (!lab.startsWith(TEST_LAB_PREFIX)) continue;
    const owner = (await readLabState(lab))?.owner;
    if (!owner || isAlive(owner)) continue;
    await tearDown(lab);
    swept.push(lab);
  }
  return swept;
}

/**
 * Found by their network namespace: it cannot be mistaken for another's, as a recycled pid could.
 * A machine's PID 1 takes everything in it along, and is waited for by what launched it: what is outside goes last.
 */
async function killProcesses(lab: string): Promise<void> {
  const allDead = (): boolean => {
    const namespaces = networkHandles(lab)
      .map(netnsOfHandle)
      .filter((netns) => netns !== undefined);
    const inits = namespaces.map(findInit).filter((init) => init !== undefined);
    const others = namespaces
      .flatMap((netns) => processesIn("net", netns))
      .filter(({ pid }) => pid !== process.pid);
    for (const target of inits.length > 0 ? inits : others) signalProcess(target, "SIGKILL");
    return others.length === 0;
  };
  await waitUntil(allDead, { what: `the processes of lab ${lab} to die`, timeoutMs: DEATH_TIMEOUT_MS });
}

function networkHandles(lab: string): string[] {
  const { netnsDir } = labPaths(lab);
  try {
    return readdirSync(netnsDir).map((name) => join(netnsDir, name));
  } catch {
    return [];
  }
}
