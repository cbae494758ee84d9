import { readdirSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { readLabState } from "./lab-state.js";
import { labPaths } from "./paths.js";
import { findInit, isAlive, netnsOfHandle } from "./processes.js";

/** Labs of tests are named with it; they are swept when whoever made them is gone. */
export const TEST_LAB_PREFIX = "t-";
/** Making or removing a lab takes seconds; one that has had no description for so long is nobody's. */
const UNDESCRIBED_MS = 60_000;

/** `remains`: nothing runs and nobody is making it; whatever is left only waits to be removed. */
export type LabPhase = "in the making" | "running" | "remains";

export async function labPhase(lab: string): Promise<LabPhase> {
  if (isAnyMachineUp(lab)) return "running";
  const state = await readLabState(lab);
  const isBusy = state ? !state.isComplete && isAlive(state.creator) : await hasChangedLately(lab);
  return isBusy ? "in the making" : "remains";
}

/** Whether it is a test's lab whose maker died without removing it. */
export async function isAbandoned(lab: string): Promise<boolean> {
  if (!lab.startsWith(TEST_LAB_PREFIX)) return false;
  const state = await readLabState(lab);
  if (state) return !isAlive(state.creator);
  return !isAnyMachineUp(lab) && !(await hasChangedLately(lab));
}

/** The handles of a lab's network namespaces: each machine's and the LAN's. */
export function networkHandles(lab: string): string[] {
  const { netnsDir } = labPaths(lab);
  try {
    return readdirSync(netnsDir).map((name) => join(netnsDir, name));
  } catch {
    return [];
  }
}

function isAnyMachineUp(lab: string): boolean {
  return networkHandles(lab).some((handle) => {
    const netns = netnsOfHandle(handle);
    return netns !== undefined && findInit(netns) !== undefined;
  });
}

/** For a lab without a description: somebody may be at it between two steps of making or removing it. */
async function hasChangedLately(lab: string): Promise<boolean> {
  const { runDir, dataDir } = labPaths(lab);
  const folders = await Promise.all([runDir, dataDir].map((folder) => stat(folder).catch(() => undefined)));
  return folders.some((stats) => stats !== undefined && Date.now() - stats.mtimeMs < UNDESCRIBED_MS);
}
