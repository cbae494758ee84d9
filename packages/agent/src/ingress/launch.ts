import { spawn } from "node:child_process";
import { closeSync, openSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LOG_NAME } from "./wire.js";

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

/** Starts the ingress process in a session of its own, so that it outlives us. It finds out itself if one runs already. */
export function launchIngress({ dataDir, entryPath, args, onExit }: LaunchOptions): void {
  const entry = entryPath ?? fileURLToPath(new URL("./entry.js", import.meta.url));
  const log = openLog(join(dataDir, LOG_NAME));
  try {
    const child = spawn(process.execPath, [entry, "--data-dir", dataDir, ...args], {
      detached: true,
      stdio: ["ignore", log, log],
      env: { PATH: process.env.PATH, LANG: process.env.LANG },
    });
    child.once("error", (error) => onExit(error.message));
    child.once("exit", (code, signal) => onExit(signal === null ? `exit code ${code}` : `signal ${signal}`));
    child.unref();
  } finally {
    closeSync(log);
  }
}

function openLog(path: string): number {
  const log = openSync(path, "a", 0o600);
  if (statSync(path).size > MAX_LOG_BYTES) truncateSync(path);
  return log;
}
