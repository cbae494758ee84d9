import type { BaseLab } from "./base-lab.js";
import { labCommand } from "./claim-name.js";
import { Lab } from "./lab.js";
import { LabError } from "./lab-error.js";
import { type LabState, type MachineSettings, readLabState, readLabStatus } from "./lab-state.js";
import { isLabName } from "./paths.js";
import { DEFAULT_LAB } from "./subnet.js";
import { VmLab } from "./vm/vm-lab.js";

/**
 * Opens a running lab.
 *
 * @throws LabError LAB_NOT_FOUND if the lab is not running.
 */
export async function openLab(name: string = DEFAULT_LAB): Promise<BaseLab> {
  const isRunning = isLabName(name) && (await readLabStatus(name)) === "running";
  if (!isRunning) {
    throw new LabError(
      "LAB_NOT_FOUND",
      `lab ${name} is not running; create it with ${labCommand("up", name)}`,
    );
  }
  const state = await readLabState(name);
  if (state) return openMachines(state);
  throw new LabError(
    "LAB_NOT_FOUND",
    `lab ${name} was created by another version of this program; remove it with ${labCommand("down", name)}`,
  );
}

function openMachines(state: LabState): BaseLab {
  const { machines, ...common } = state;
  switch (machines.kind) {
    case "namespaces":
      return new Lab(withMachines(common, machines));
    case "vms":
      return new VmLab(withMachines(common, machines));
  }
}

function withMachines<M extends MachineSettings>(
  common: Omit<LabState, "machines">,
  machines: M,
): LabState<M> {
  return { ...common, machines };
}
