import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LOG_NAME } from "./control/wire.js";

/** The process logs a few lines in its life; one that crashes in a loop must not fill the disk. */
const MAX_LOG_BYTES = 4 * 1024 * 1024;

export interface LaunchOptions {
  readonly dataDir: string;
  /** The compiled entry; by default the one beside this file. */
  readonly entryPath: string | undefined;
  /** Further arguments for the entry. */
  readonly args: readonly string[];
  onExit(reason: string): void;
}

/** The compiled entry beside this file. */
export const OWN_ENTRY = fileURLToPath(new URL("./entry.js", import.meta.url));

/** Starts the ingress process in a session of its own, so that it outlives us. It finds out itself if one runs already. */
export function startIngressProcess({ dataDir, entryPath, args, onExit }: LaunchOptions): void {
  const program = { exec: process.execPath, entry: entryPath ?? OWN_ENTRY, args };
  const child = spawnIngressProcess(dataDir, program, "alone");
  child.once("error", (error) => onExit(error.message));
  child.once("exit", (code, signal) => onExit(signal === null ? `exit code ${code}` : `signal ${signal}`));
  child.unref();
}

/** A release of the ingress process. */
export interface IngressProgram {
  readonly exec: string;
  readonly entry: string;
  readonly args: readonly string[];
}

/** @param as "heir": it begins with what this process gives it over its channel */
export function spawnIngressProcess(
  dataDir: string,
  { exec, entry, args }: IngressProgram,
  as: "alone" | "heir",
): ChildProcess {
  const log = openLog(join(dataDir, LOG_NAME));
  const isHeir = as === "heir";
  try {
    return spawn(exec, [entry, "--data-dir", dataDir, ...(isHeir ? ["--inherit"] : []), ...args], {
      detached: true,
      stdio: isHeir ? ["ignore", log, log, "ipc"] : ["ignore", log, log],
      env: { PATH: process.env.PATH, LANG: process.env.LANG },
    });
  } finally {
    closeSync(log);
  }
}

function openLog(path: string): number {
  const log = openSync(path, "a", 0o600);
  if (statSync(path).size > MAX_LOG_BYTES) truncateSync(path);
  return log;
}
