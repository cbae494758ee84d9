import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { DATA_ROOT, labPaths, RUN_ROOT } from "./paths.js";
import type { ProcessRef } from "./processes.js";

/** What a lab is made of. Whether its machines run is never stored: the kernel knows. */
export interface LabState {
  readonly name: string;
  /** The first three numbers of the addresses: `10.77.0`. */
  readonly subnet: string;
  readonly hostNames: readonly string[];
  readonly berth: boolean;
  readonly dockerConfig: DockerConfig;
  /** Who takes the lab down; a lab brought up to stay has no owner. */
  readonly owner: ProcessRef | null;
}

/** Keys of Docker's `daemon.json`. */
export type DockerConfig = Readonly<Record<string, unknown>>;

/** Labs may be named in the kernel's interface names, hence short. */
export const LAB_NAME = /^[a-z][a-z0-9-]{0,11}$/;

export async function readLabState(name: string): Promise<LabState | undefined> {
  try {
    return JSON.parse(await readFile(labPaths(name).stateFile, "utf8")) as LabState;
  } catch {
    return undefined;
  }
}

export async function writeLabState(state: LabState): Promise<void> {
  const { runDir, stateFile } = labPaths(state.name);
  await mkdir(runDir, { recursive: true });
  await writeFile(stateFile, `${JSON.stringify(state, null, 2)}\n`);
}

/** All labs of which anything is left, running or not. */
export async function listLabNames(): Promise<string[]> {
  const names = await Promise.all([RUN_ROOT, DATA_ROOT].map(foldersIn));
  return [...new Set(names.flat())].sort();
}

async function foldersIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}
