import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DATA_ROOT, isLabName, labPaths, RUN_ROOT } from "./paths.js";
import { findInit, isAlive, type ProcessRef, readNetnsHandle } from "./processes.js";
import type { BaseImage } from "./vm/base-image.js";
import type { Acceleration } from "./vm/qemu-command.js";

/** Format version of {@link LabState}. Files with another version are ignored. */
export const STATE_VERSION = 8;

/** Settings of the machines of a lab, by what the machines are made of. */
export type MachineSettings = NamespaceSettings | VmSettings;

/** Each machine is a set of namespaces. */
export interface NamespaceSettings {
  readonly kind: "namespaces";
  readonly dockerConfig: DockerConfig;
  /** Directory with another Docker, mounted over every host's /usr. If empty, hosts use this machine's Docker. */
  readonly dockerDirectory: string;
}

/** Each machine is a virtual machine. */
export interface VmSettings {
  readonly kind: "vms";
  readonly acceleration: Acceleration;
  readonly image: BaseImage;
  /** Directory of the snapshot with which new machines start. */
  readonly snapshot: string;
}

/** The stored description of a lab. Which machines are up is not stored: it follows from the kernel's namespaces. */
export interface LabState<M extends MachineSettings = MachineSettings> {
  readonly version: typeof STATE_VERSION;
  readonly name: string;
  /** First three octets of the lab's addresses, such as `10.77.0`. */
  readonly subnet: string;
  readonly hostNames: readonly string[];
  /** Whether the lab's machines run berth. Otherwise they only run Docker. */
  readonly hasBerth: boolean;
  /** Number of hosts, counted from the first, that run a server. If 0, the server machine runs the only server. */
  readonly serverHostCount: number;
  readonly machines: M;
  /** The process that created the lab. A test lab is removed after this process has ended. */
  readonly creator: ProcessRef;
  /** Whether all machines have started. */
  readonly isComplete: boolean;
}

/** Keys of Docker's `daemon.json`. */
export type DockerConfig = Readonly<Record<string, unknown>>;

/** Returns the lab's description, or undefined if there is none of this version. */
export async function readLabState(name: string): Promise<LabState | undefined> {
  try {
    const state = JSON.parse(await readFile(labPaths(name).stateFile, "utf8")) as Partial<LabState>;
    return state.version === STATE_VERSION ? (state as LabState) : undefined;
  } catch {
    return undefined;
  }
}

/** Stores the description of a lab, or replaces it. */
export async function writeLabState(state: LabState): Promise<void> {
  const { runDir, stateFile } = labPaths(state.name);
  await mkdir(runDir, { recursive: true });
  await writeFile(`${stateFile}.new`, `${JSON.stringify(state, null, 2)}\n`);
  await rename(`${stateFile}.new`, stateFile);
}

/** Returns the names of all labs that have files on this machine, running or not. */
export async function listLabNames(): Promise<string[]> {
  const names = await Promise.all([RUN_ROOT, DATA_ROOT].map(listDirectories));
  return [...new Set(names.flat().filter(isLabName))].sort();
}

async function listDirectories(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

/** Name prefix of test labs. They are removed after the process that created them has ended. */
export const TEST_LAB_PREFIX = "t-";
/** Time after which a lab without a description counts as a leftover. Creating or removing a lab takes seconds. */
const CHANGE_TIMEOUT_MS = 60_000;

/** `changing`: being created or removed. `leftover`: not running; its files can be removed. */
export type LabStatus = "changing" | "running" | "leftover";

/** Determines a lab's status from the processes that are alive. */
export async function readLabStatus(lab: string): Promise<LabStatus> {
  if (isAnyMachineUp(lab)) return "running";
  const state = await readLabState(lab);
  const isBusy = state ? !state.isComplete && isAlive(state.creator) : await hasChangedRecently(lab);
  return isBusy ? "changing" : "leftover";
}

/** Returns whether a lab is a test lab whose creator has ended without removing it. */
export async function isAbandoned(lab: string): Promise<boolean> {
  if (!lab.startsWith(TEST_LAB_PREFIX)) return false;
  const state = await readLabState(lab);
  if (state) return !isAlive(state.creator);
  return !isAnyMachineUp(lab) && !(await hasChangedRecently(lab));
}

/** Returns the paths of a lab's network namespace handles: one for each machine and one for the LAN. */
export function listNetnsHandles(lab: string): string[] {
  const { netnsDir } = labPaths(lab);
  try {
    return readdirSync(netnsDir).map((name) => join(netnsDir, name));
  } catch {
    return [];
  }
}

function isAnyMachineUp(lab: string): boolean {
  return listNetnsHandles(lab).some((handle) => {
    const netns = readNetnsHandle(handle);
    return netns !== undefined && findInit(netns) !== undefined;
  });
}

/** Returns whether another process may be creating or removing a lab that has no description. */
async function hasChangedRecently(lab: string): Promise<boolean> {
  const { runDir, dataDir } = labPaths(lab);
  const directories = await Promise.all(
    [runDir, dataDir].map((directory) => stat(directory).catch(() => undefined)),
  );
  return directories.some((stats) => stats !== undefined && Date.now() - stats.mtimeMs < CHANGE_TIMEOUT_MS);
}

/** Returns a new name for a test lab of this process. Names are random, so that test runs do not collide. */
export function testLabName(): string {
  return `${TEST_LAB_PREFIX}${randomBytes(4).toString("hex")}`;
}
