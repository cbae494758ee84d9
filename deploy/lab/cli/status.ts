import { styleText } from "node:util";
import { pingDocker } from "../daemons.js";
import { docker } from "../images.js";
import type { Lab } from "../lab.js";
import type { LabHost } from "../lab-host.js";
import type { LabMachine } from "../lab-machine.js";
import type { LabServer } from "../lab-server.js";

/** One row in the output of `npm run lab -- status`. */
export interface MachineStatus {
  readonly name: string;
  readonly address: string;
  /** `partitioned`: up, but disconnected from the network. */
  readonly state: "up" | "down" | "partitioned";
  /** Comma-separated names of the daemons that run on the machine. */
  readonly runs: string;
  readonly containers: number;
}

/** Reads the status of the server machine and of every host. */
export async function readMachineStatuses(lab: Lab): Promise<MachineStatus[]> {
  const server = readStatus(lab.serverMachine, () => listServerPrograms(lab.serverMachine.berthServer));
  return Promise.all([server, ...lab.hosts.map(readHostStatus)]);
}

function readHostStatus(host: LabHost): Promise<MachineStatus> {
  return readStatus(
    host,
    async () => {
      const programs = host.server === undefined ? [] : await listServerPrograms(host.server);
      if (await pingDocker(host.dockerSocket)) programs.push("docker");
      else if (host.processes("dockerd").length > 0) programs.push("docker (not responding)");
      if (host.processes("agent").length > 0) programs.push("agent");
      return programs;
    },
    async () => {
      const ids = await docker(host.dockerSocket, ["ps", "--quiet"]).catch(() => "");
      return ids.split("\n").filter(Boolean).length;
    },
  );
}

async function listServerPrograms(server: LabServer): Promise<string[]> {
  if (server.processes("server").length === 0) return [];
  const health = await server.health();
  if (health?.status !== "ok") return ["server (unhealthy)"];
  return [health.role === "leader" ? "server (leader)" : "server"];
}

async function readStatus(
  machine: LabMachine,
  programs: () => Promise<string[]>,
  containers: () => Promise<number> = async () => 0,
): Promise<MachineStatus> {
  const { name, address, isUp } = machine;
  if (!isUp) return { name, address, state: "down", runs: "", containers: 0 };
  const [isPartitioned, running, containerCount] = await Promise.all([
    machine.isPartitioned(),
    programs(),
    containers(),
  ]);
  const state = isPartitioned ? "partitioned" : "up";
  return { name, address, state, runs: running.join(", "), containers: containerCount };
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
export function formatTable(rows: readonly Readonly<Record<string, string | number>>[]): string {
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
