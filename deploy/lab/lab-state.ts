import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DATA_ROOT, isLabName, labPaths, RUN_ROOT } from "./paths.js";
import type { ProcessRef } from "./processes.js";
import { findInit, isAlive, netnsOfHandle } from "./processes.js";

/** Counts the changes of {@link LabState} that make older descriptions unreadable. */
export const STATE_VERSION = 4;

/** What a lab is made of. Whether its machines run is never stored: the kernel knows. */
export interface LabState {
  readonly version: typeof STATE_VERSION;
  readonly name: string;
  /** The first three numbers of the addresses: `10.77.0`. */
  readonly subnet: string;
  readonly hostNames: readonly string[];
  readonly berth: boolean;
  /** So many of the first hosts run a server; none: the machine for it does. */
  readonly hostsWithServer: number;
  readonly dockerConfig: DockerConfig;
  /** A folder laid over the root of every host, with another Docker than this machine's. "": none. */
  readonly dockerFolder: string;
  /** The process that made the lab; a test's lab ends with it. */
  readonly creator: ProcessRef;
  /** Whether all of it came up. */
  readonly isComplete: boolean;
}

/** Keys of Docker's `daemon.json`. */
export type DockerConfig = Readonly<Record<string, unknown>>;

/** The lab's description; undefined when there is none, or one of another version. */
export async function readLabState(name: string): Promise<LabState | undefined> {
  try {
    const state = JSON.parse(await readFile(labPaths(name).stateFile, "utf8")) as Partial<LabState>;
    return state.version === STATE_VERSION ? (state as LabState) : undefined;
  } catch {
    return undefined;
  }
}

export async function writeLabState(state: LabState): Promise<void> {
  const { runDir, stateFile } = labPaths(state.name);
  await mkdir(runDir, { recursive: true });
  await writeFile(`${stateFile}.new`, `${JSON.stringify(state, null, 2)}\n`);
  await rename(`${stateFile}.new`, stateFile);
}

/** All labs of which anything is left, running or not. */
export async function listLabNames(): Promise<string[]> {
  const names = await Promise.all([RUN_ROOT, DATA_ROOT].map(foldersIn));
  return [...new Set(names.flat().filter(isLabName))].sort();
}

async function foldersIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

/** Labs of tests are named with it; they are swept when whoever made them is gone. */
export const TEST_LAB_PREFIX = "t-";
/** Making or removing a lab takes seconds; one that has had no description for so long is nobody's. */
const UNDESCRIBED_MS = 60_000;

/** `remains`: nothing runs and nobody is making it; whatever is left only waits to be removed. */
export type LabStatus = "in the making" | "running" | "remains";

export async function labStatus(lab: string): Promise<LabStatus> {
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

/** A name for a lab that belongs to this process: unused, so that test runs go side by side, and swept if it dies. */
export function testLabName(): string {
  return `${TEST_LAB_PREFIX}${randomBytes(4).toString("hex")}`;
}
