import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LOG_NAME } from "./control/protocol.js";

/** The process logs little. The limit keeps a process that crashes in a loop from filling the disk. */
const MAX_LOG_BYTES = 4 * 1024 * 1024;

/** The compiled entry point of this release. */
export const ENTRY_PATH = fileURLToPath(new URL("./entry.js", import.meta.url));

/** The command line of the ingress process of one release. */
export interface IngressProgram {
  readonly executable: string;
  readonly entryPath: string;
  readonly args: readonly string[];
}

/**
 * Starts an ingress process in its own session, so that it outlives this process.
 * @param role a successor receives its state and sockets over an IPC channel
 */
export function spawnIngressProcess(
  dataDir: string,
  { executable, entryPath, args }: IngressProgram,
  role: "first" | "successor",
): ChildProcess {
  const log = openLog(join(dataDir, LOG_NAME));
  const isSuccessor = role === "successor";
  try {
    return spawn(
      executable,
      [entryPath, "--data-dir", dataDir, ...(isSuccessor ? ["--inherit"] : []), ...args],
      {
        detached: true,
        stdio: isSuccessor ? ["ignore", log, log, "ipc"] : ["ignore", log, log],
        env: { PATH: process.env.PATH, LANG: process.env.LANG },
      },
    );
  } finally {
    closeSync(log);
  }
}

function openLog(path: string): number {
  const log = openSync(path, "a", 0o600);
  if (statSync(path).size > MAX_LOG_BYTES) truncateSync(path);
  return log;
}
