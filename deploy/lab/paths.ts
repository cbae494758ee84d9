import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LabError } from "./lab-error.js";

/** Run-time files of labs: namespace handles, sockets and descriptions. Empty after a reboot. */
export const RUN_ROOT = "/run/berth-lab";
/** Files of labs that survive a power cut: the data of Docker and berth, logs, and images. */
export const DATA_ROOT = "/var/lib/berth-lab";
/** Parent cgroup of all labs' containers, in every hierarchy. */
export const CGROUP_ROOT = "berth-lab";

export const REPO_ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Short because the kernel's interface names include it. */
const LAB_NAME = /^[a-z][a-z0-9-]{0,11}$/;
const NAME_RULE = "1 to 12 of a-z, 0-9 and hyphens, a letter first";

/** Returns whether a text is a valid name of a lab. */
export function isLabName(text: string): boolean {
  return LAB_NAME.test(text);
}

/** Paths of one lab. Each contains the lab's name, so that labs do not collide. */
export interface LabPaths {
  readonly runDir: string;
  readonly dataDir: string;
  readonly stateFile: string;
  readonly imagesDir: string;
  /** Directory with the administrator's context. */
  readonly configDir: string;
  /** Directory of the network namespace handles (bind mounts): one file for each machine, and `lan`. */
  readonly netnsDir: string;
  readonly lanNetns: string;
}

/** @throws LabError LAB_BAD_USAGE for an invalid name. These paths get removed, so `..` must never be part of them. */
export function labPaths(lab: string): LabPaths {
  if (!isLabName(lab)) throw new LabError("LAB_BAD_USAGE", `invalid lab name "${lab}"; use ${NAME_RULE}`);
  const runDir = join(RUN_ROOT, lab);
  const dataDir = join(DATA_ROOT, lab);
  const netnsDir = join(runDir, "netns");
  return {
    runDir,
    dataDir,
    netnsDir,
    stateFile: join(runDir, "lab.json"),
    imagesDir: join(dataDir, "images"),
    configDir: join(dataDir, "config"),
    lanNetns: join(netnsDir, "lan"),
  };
}

/** Paths of one machine of a lab. */
export interface MachinePaths {
  readonly netns: string;
  /** The machine's `/run`, in the root namespace. Emptied at each boot. */
  readonly runDir: string;
  readonly dataDir: string;
  readonly logDir: string;
}

/** Returns the paths of a machine. */
export function machinePaths(lab: string, machine: string): MachinePaths {
  const { netnsDir, runDir, dataDir } = labPaths(lab);
  return {
    netns: join(netnsDir, machine),
    runDir: join(runDir, machine),
    dataDir: join(dataDir, machine),
    logDir: join(dataDir, machine, "log"),
  };
}

/** Returns the parent cgroup of a host's containers, in the form that dockerd expects. */
export function cgroupParent(lab: string, machine: string): string {
  return `/${CGROUP_ROOT}/${lab}/${machine}`;
}
