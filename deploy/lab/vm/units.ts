import { TIMING_SCALE_VARIABLE } from "@berth/proto";
import type { QemuMachine } from "./qemu-machine.js";

/** Number of log lines that an error message quotes. */
const LOG_TAIL_LINES = 10;

/**
 * Setting of berth's programs under emulation. QEMU translates again what V8 compiles, so programs start in half the
 * time without V8's compilers.
 */
const NODE_OPTIONS = "NODE_OPTIONS=--jitless";
/** Timeouts of berth's units: systemd's default for the start, and the watchdog that the package sets. */
const START_TIMEOUT_SECONDS = 90;
const WATCHDOG_SECONDS = 30;
const BERTH_UNITS = ["berth-server", "berth-agent", "berth-ingress"];

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

/**
 * Adapts berth's units to emulation: multiplies their timeouts, and turns the compilers of Node.js off. Takes effect when
 * the package is installed, which reloads the units.
 */
export async function adaptUnitsToEmulation(machine: QemuMachine, scale: number): Promise<void> {
  const settings = [
    "[Service]",
    `Environment=${NODE_OPTIONS}`,
    `TimeoutStartSec=${START_TIMEOUT_SECONDS * scale}`,
    `WatchdogSec=${WATCHDOG_SECONDS * scale}`,
  ];
  const script = 'for unit; do mkdir -p "$unit.d" && echo "$settings" >"$unit.d/emulation.conf"; done';
  const units = BERTH_UNITS.map((unit) => `/etc/systemd/system/${unit}.service`);
  await machine.execOrThrow(["sh", "-c", `settings=$(cat); ${script}`, "sh", ...units], {
    input: settings.join("\n"),
  });
}

/** Returns a command of berth. `timingScale` is more than 1 under emulation. */
export function berthCommand(args: readonly string[], timingScale: number): string[] {
  const settings = [NODE_OPTIONS, `${TIMING_SCALE_VARIABLE}=${timingScale}`];
  return timingScale > 1 ? ["env", ...settings, "berth", ...args] : ["berth", ...args];
}
