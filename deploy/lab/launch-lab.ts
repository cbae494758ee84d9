import { type BaseLab, runBerthProcess } from "./base-lab.js";
import { claimLabName } from "./claim-name.js";
import { createContext } from "./cluster-access.js";
import type { LabMachine } from "./lab-machine.js";
import type { LabPrograms, LabSize } from "./lab-options.js";
import { type LabState, type MachineSettings, STATE_VERSION, writeLabState } from "./lab-state.js";
import { Lan } from "./lan.js";
import { selfRef } from "./processes.js";
import { claimSubnet, rootAddress } from "./subnet.js";
import { removeAbandonedTestLabs, removeLab } from "./teardown.js";

interface StartOptions extends Pick<LabPrograms, "runBerth"> {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((step: string) => void) | undefined;
}

export interface LaunchOptions<M extends MachineSettings, L extends BaseLab> extends LabSize, StartOptions {
  readonly name: string;
  /** What the machines are made of. */
  readonly machines: M;
  /** Returns the object that controls the lab. */
  readonly open: (state: LabState<M>) => L;
  /** Runs before the first machine starts. */
  readonly prepare?: (lab: L) => Promise<void>;
}

/**
 * Creates the network of a lab, starts its machines, and waits until its servers are healthy. Removes the lab again
 * after an error or an abort. Removes abandoned test labs first.
 *
 * @throws LabError LAB_EXISTS, LAB_NOT_READY.
 */
export async function launchLab<M extends MachineSettings, L extends BaseLab>(
  options: LaunchOptions<M, L>,
): Promise<L> {
  const { name, signal } = options;
  await removeAbandonedTestLabs();
  await claimLabName(name);
  try {
    const state = await initializeState(options);
    await new Lan(name).create(rootAddress(state.subnet), signal);
    const lab = options.open(state);
    await options.prepare?.(lab);
    await startAll(lab, options);
    await writeLabState({ ...state, isComplete: true });
    signal?.throwIfAborted();
    return lab;
  } catch (cause) {
    options.onProgress?.("start failed: removing the lab");
    await removeLab(name);
    throw cause;
  }
}

async function startAll(
  lab: BaseLab,
  { runBerth = runBerthProcess, signal, onProgress }: StartOptions,
): Promise<void> {
  const start = async (machine: LabMachine): Promise<void> => {
    await machine.start(signal);
    onProgress?.(`started ${machine.name} at ${machine.address}`);
  };
  // Wait for all machines even if one fails: the clean-up must not race with a machine that is still starting.
  const results = await Promise.allSettled([
    ...lab.machines.map(start),
    createContext(lab.servers, { configDir: lab.configDir, env: lab.cliEnv(), runBerth }, signal),
  ]);
  for (const result of results) {
    if (result.status === "rejected") throw result.reason;
  }
  await Promise.all(lab.servers.map((server) => server.waitUntilHealthy(signal)));
  if (lab.servers.length > 1) onProgress?.(`${lab.servers.length} servers are healthy`);
}

/** Claims a subnet and stores the description of the new lab. */
async function initializeState<M extends MachineSettings>({
  name,
  hosts,
  servers = 0,
  hasBerth = true,
  machines,
}: LabSize & { readonly name: string; readonly machines: M }): Promise<LabState<M>> {
  const state: LabState<M> = {
    version: STATE_VERSION,
    name,
    subnet: await claimSubnet(name),
    hostNames: Array.from({ length: hosts }, (_, index) => `h${index + 1}`),
    hasBerth,
    serverHostCount: hasBerth ? servers : 0,
    machines,
    creator: selfRef(),
    isComplete: false,
  };
  await writeLabState(state);
  return state;
}
