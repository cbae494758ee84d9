import { mkdir } from "node:fs/promises";
import { LabError } from "./lab-error.js";
import { readLabStatus } from "./lab-state.js";
import { labPaths, RUN_ROOT } from "./paths.js";
import { DEFAULT_LAB } from "./subnet.js";
import { removeLab } from "./teardown.js";

/**
 * Claims the name of a new lab for this process. Removes files that an earlier lab with this name left behind.
 *
 * @throws LabError LAB_EXISTS.
 */
export async function claimLabName(name: string): Promise<void> {
  if (await createRunDir(name)) return;
  const status = await readLabStatus(name);
  if (status === "running") {
    throw new LabError(
      "LAB_EXISTS",
      `lab ${name} is already running; remove it with ${labCommand("down", name)}`,
    );
  }
  if (status === "changing") {
    throw new LabError("LAB_EXISTS", `another process is creating or removing lab ${name}`);
  }
  await removeLab(name);
  if (!(await createRunDir(name))) {
    throw new LabError("LAB_EXISTS", `another process is creating lab ${name}`);
  }
}

/** Creates the lab's directory, which is atomic. Returns false if the directory already exists. */
async function createRunDir(name: string): Promise<boolean> {
  await mkdir(RUN_ROOT, { recursive: true });
  try {
    await mkdir(labPaths(name).runDir);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

/** Returns the command line to suggest in an error message. */
export function labCommand(command: "up" | "down", name: string): string {
  return `npm run lab -- ${command}${name === DEFAULT_LAB ? "" : ` --name ${name}`}`;
}
