import { spawn } from "node:child_process";
import { constants } from "node:os";
import { resolve as resolvePath } from "node:path";
import type { BaseLab } from "../base-lab.js";
import { createLab } from "../lab.js";
import type { LabMachine } from "../lab-machine.js";
import { listLabNames } from "../lab-state.js";
import { openLab } from "../open-lab.js";
import { DEFAULT_LAB } from "../subnet.js";
import { removeLab } from "../teardown.js";
import { createVmLab } from "../vm/vm-lab.js";
import type { LabCommand, MachineVerb } from "./parse-command.js";
import { formatTable, readMachineStatus, startStepTimer } from "./status.js";

type Runnable = Exclude<LabCommand, { kind: "help" }>;

/** Runs a command and returns its exit code. */
export async function runCommand(command: Runnable, signal: AbortSignal): Promise<number> {
  switch (command.kind) {
    case "up":
      return up(command, signal);
    case "down":
      return down(command.lab);
    case "status":
      return status(command);
    case "machines":
      return machines(command, signal);
    case "shell":
      return shell(command);
    case "image":
      return image(command, signal);
  }
}

async function up(
  { lab: name, hosts, hasBerth, servers, isVirtual }: Runnable & { kind: "up" },
  signal: AbortSignal,
): Promise<number> {
  const timer = startStepTimer();
  const create = isVirtual ? createVmLab : createLab;
  const lab: BaseLab = await create({ name, hosts, hasBerth, servers, signal, onProgress: timer.step });
  timer.step(`lab ${name} is up`);
  console.log(`\n${nextSteps(lab)}`);
  return 0;
}

async function down(name: string): Promise<number> {
  const existed = (await listLabNames()).includes(name);
  const timer = startStepTimer();
  await removeLab(name);
  timer.step(existed ? `removed lab ${name}` : `lab ${name} does not exist`);
  return 0;
}

async function status({ lab: name, json }: Runnable & { kind: "status" }): Promise<number> {
  const { machines } = await openLab(name);
  const statuses = await Promise.all(machines.map(readMachineStatus));
  if (json) {
    console.log(JSON.stringify(statuses, null, 2));
  } else {
    console.log(formatTable(statuses.map((row) => ({ ...row }))));
  }
  return 0;
}

const VERB_RESULTS: Readonly<Record<MachineVerb, string>> = {
  kill: "killed",
  start: "started",
  partition: "disconnected from the network",
  heal: "reconnected to the network",
};

async function machines(command: Runnable & { kind: "machines" }, signal: AbortSignal): Promise<number> {
  const lab = await openLab(command.lab);
  // Check all names before changing the first machine.
  const targets = command.machines.map((name) => lab.machine(name));
  const timer = startStepTimer();
  const applyVerb = async (machine: LabMachine): Promise<void> => {
    await machine[command.verb](signal);
    timer.step(`${machine.name} ${VERB_RESULTS[command.verb]}`);
  };
  await Promise.all(targets.map(applyVerb));
  return 0;
}

async function shell({ lab: name, machine, argv }: Runnable & { kind: "shell" }): Promise<number> {
  const target = (await openLab(name)).machine(machine);
  const [program = "", ...args] = target.commandInside(argv.length > 0 ? argv : [process.env.SHELL ?? "sh"]);
  // Let Docker commands reach the host's Docker, not the one that the caller's environment selects.
  const { DOCKER_HOST: _host, DOCKER_CONTEXT: _context, ...env } = process.env;
  const child = spawn(program, args, { stdio: "inherit", env });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)));
  });
}

async function image(
  { lab: name, source, tag }: Runnable & { kind: "image" },
  signal: AbortSignal,
): Promise<number> {
  const lab = await openLab(name);
  const timer = startStepTimer();
  // npm changes the working directory. INIT_CWD is the directory in which the user ran npm.
  await lab.loadImage(resolvePath(process.env.INIT_CWD ?? "", source), tag, {
    signal,
    onProgress: timer.step,
  });
  return 0;
}

function nextSteps(lab: BaseLab): string {
  const suffix = lab.name === DEFAULT_LAB ? "" : ` --name ${lab.name}`;
  const hints = [
    ...(lab.hasBerth ? [`export BERTH_CONFIG=${lab.configDir}`] : []),
    `npm run lab -- status${suffix}`,
    `npm run lab -- shell h1${suffix}`,
    `npm run lab -- kill h1${suffix}`,
    `npm run lab -- down${suffix}`,
  ];
  return `Next steps:\n${hints.map((hint) => `  ${hint}`).join("\n")}`;
}
