import { styleText } from "node:util";
import type { LabMachine } from "../lab-machine.js";

/** One row in the output of `npm run lab -- status`. */
export interface MachineStatus {
  readonly name: string;
  readonly address: string;
  /** `partitioned`: up, but disconnected from the network. */
  readonly state: "up" | "down" | "partitioned";
  /** Comma-separated names of the daemons that run on the machine. */
  readonly runs: string;
  /** Undefined if Docker does not respond. */
  readonly containers: number | undefined;
}

/** Reads the status of a machine. */
export async function readMachineStatus(machine: LabMachine): Promise<MachineStatus> {
  const { name, address, isUp } = machine;
  if (!isUp) return { name, address, state: "down", runs: "", containers: 0 };
  const [isPartitioned, daemons, containers] = await Promise.all([
    machine.isPartitioned(),
    machine.describeDaemons(),
    machine.countContainers(),
  ]);
  const state = isPartitioned ? "partitioned" : "up";
  return { name, address, state, runs: daemons.join(", "), containers };
}

/** Prints the progress of a command. */
export interface StepTimer {
  /** Prints a completed step with the seconds since the command started. */
  readonly step: (text: string) => void;
}

/** Returns a timer that starts now. */
export function startStepTimer(): StepTimer {
  const start = performance.now();
  return {
    step: (text) => {
      const seconds = ((performance.now() - start) / 1_000).toFixed(1).padStart(5);
      console.log(`${dim(`${seconds} s`)}  ${text}`);
    },
  };
}

/** Formats rows as aligned columns, with the keys as headings. */
export function formatTable(rows: readonly Readonly<Record<string, string | number | undefined>>[]): string {
  const keys = Object.keys(rows[0] ?? {});
  const lines = [
    keys.map((key) => key.toUpperCase()),
    ...rows.map((row) => keys.map((key) => String(row[key] ?? ""))),
  ];
  const widths = keys.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("   ")
        .trimEnd(),
    )
    .join("\n");
}

function dim(text: string): string {
  const isPlain = !process.stdout.isTTY || process.env.NO_COLOR !== undefined;
  return isPlain ? text : styleText("dim", text);
}
