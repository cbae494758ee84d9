import type { QemuMachine } from "./qemu-machine.js";

/** Number of log lines that an error message quotes. */
const LOG_TAIL_LINES = 10;

/** State of a systemd unit, such as `active`, `activating`, `inactive` or `failed`. */
export type UnitState = string;

export async function unitState(machine: QemuMachine, unit: string): Promise<UnitState> {
  return (await machine.exec(["systemctl", "is-active", unit])).stdout.trim();
}

export async function isUnitActive(machine: QemuMachine, unit: string): Promise<boolean> {
  return ["active", "activating"].includes(await unitState(machine, unit));
}

/** Enables a unit, so that it also starts when the machine boots, and starts it without waiting. */
export async function enableUnit(machine: QemuMachine, unit: string): Promise<void> {
  await machine.execOrThrow(["systemctl", "enable", "--now", "--no-block", "--quiet", unit]);
}

/** Returns the last lines of a unit's log. */
export async function readJournal(machine: QemuMachine, unit: string): Promise<string> {
  const argv = [
    "journalctl",
    "--unit",
    unit,
    "--lines",
    String(LOG_TAIL_LINES),
    "--output",
    "cat",
    "--no-pager",
  ];
  return (await machine.exec(argv)).stdout.trimEnd();
}

/** Writes the settings of a berth unit. */
export async function writeEnvironment(
  machine: QemuMachine,
  program: "agent" | "server",
  variables: Readonly<Record<string, string>>,
): Promise<void> {
  const input = Object.entries(variables).map(([name, value]) => `${name}=${value}\n`);
  await machine.execOrThrow(["sh", "-c", 'cat >"$0"', `/etc/berth/${program}.env`], {
    input: input.join(""),
  });
}
