import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LabError } from "./lab-error.js";

/** What exists while a lab runs: namespaces, sockets, its description. Gone after a reboot. */
export const RUN_ROOT = "/run/berth-lab";
/** What survives a power cut: Docker's and berth's data, logs, the lab's images. */
export const DATA_ROOT = "/var/lib/berth-lab";
/** The control group, in every hierarchy, under which all containers of all labs are. */
export const CGROUP_ROOT = "berth-lab";

export const REPO_ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Short, as the kernel's interface names carry it. */
const LAB_NAME = /^[a-z][a-z0-9-]{0,11}$/;
const NAME_RULE = "1 to 12 of a-z, 0-9 and hyphens, a letter first";

export function isLabName(text: string): boolean {
  return LAB_NAME.test(text);
}

/** Where the parts of one lab are. Everything carries the lab's name, so that labs live side by side. */
export interface LabPaths {
  readonly runDir: string;
  readonly dataDir: string;
  readonly stateFile: string;
  readonly imagesDir: string;
  /** Handles (bind mounts) of the network namespaces: one file per machine, and `lan`. */
  readonly netnsDir: string;
  readonly lanNetns: string;
}

/** @throws LabError LAB_BAD_USAGE for what is no name: these paths get removed, `..` must never be among them. */
export function labPaths(lab: string): LabPaths {
  if (!isLabName(lab)) throw new LabError("LAB_BAD_USAGE", `"${lab}" cannot be a lab's name: ${NAME_RULE}`);
  const runDir = join(RUN_ROOT, lab);
  const dataDir = join(DATA_ROOT, lab);
  const netnsDir = join(runDir, "netns");
  return {
    runDir,
    dataDir,
    netnsDir,
    stateFile: join(runDir, "lab.json"),
    imagesDir: join(dataDir, "images"),
    lanNetns: join(netnsDir, "lan"),
  };
}

export interface MachinePaths {
  readonly netns: string;
  /** The machine's own `/run`, seen from the root namespace; emptied at each boot. */
  readonly runDir: string;
  readonly dataDir: string;
  readonly logDir: string;
}

export function machinePaths(lab: string, machine: string): MachinePaths {
  const { netnsDir, runDir, dataDir } = labPaths(lab);
  return {
    netns: join(netnsDir, machine),
    runDir: join(runDir, machine),
    dataDir: join(dataDir, machine),
    logDir: join(dataDir, machine, "log"),
  };
}

/** Returns the parent control group of a host's containers, in the form that dockerd expects. */
export function cgroupParent(lab: string, machine: string): string {
  return `/${CGROUP_ROOT}/${lab}/${machine}`;
}
