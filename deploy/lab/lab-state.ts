import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { DATA_ROOT, isLabName, labPaths, RUN_ROOT } from "./paths.js";
import type { ProcessRef } from "./processes.js";

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
