import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { LabError } from "./lab-error.js";
import { type ProcessInfo, signalProcess } from "./processes.js";
import { waitUntil } from "./wait-until.js";

/** Timeout until a killed process is gone. The kernel first completes its pending disk writes. */
const PROCESS_END_TIMEOUT_MS = 20_000;

export interface KillProcessOptions {
  /** Name of the process for error messages, such as `dockerd on h1`. */
  readonly name: string;
  readonly signal: NodeJS.Signals;
  /** Returns the running processes to signal. */
  readonly find: () => readonly ProcessInfo[];
}

/**
 * Signals processes. After SIGKILL, waits until they are gone; a process may ignore other signals.
 *
 * @throws LabError LAB_NOT_READY if no such process is running.
 */
export async function killProcess({ name, signal, find }: KillProcessOptions): Promise<void> {
  const targets = find();
  if (targets.length === 0) {
    throw new LabError("LAB_NOT_READY", `cannot send ${signal} to ${name}: it is not running`);
  }
  for (const target of targets) signalProcess(target, signal);
  if (signal !== "SIGKILL") return;
  const pids = new Set(targets.map(({ pid }) => pid));
  const areGone = (): boolean => !find().some(({ pid }) => pids.has(pid));
  await waitUntil(areGone, { what: `${name} to end`, timeoutMs: PROCESS_END_TIMEOUT_MS });
}

/** Number of log lines that an error message quotes. */
const LOG_TAIL_LINES = 10;

/** Returns the error for a daemon that exited before it was ready. The message quotes the end of the daemon's log. */
export async function readStartupError(name: string, logFile: string): Promise<LabError> {
  const log = await readFile(logFile, "utf8").catch(() => "(no log)");
  const tail = log.trimEnd().split("\n").slice(-LOG_TAIL_LINES).join("\n");
  return new LabError("LAB_NOT_READY", `${name} exited while starting; last lines of ${logFile}:\n${tail}`);
}

/** Timeout of a ping. A daemon that is starting accepts connections before it can respond to requests. */
const PING_TIMEOUT_MS = 1_000;

/** Returns whether a Docker daemon responds on its socket. */
export function pingDocker(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const ping = request({ socketPath, path: "/_ping", timeout: PING_TIMEOUT_MS }, (response) => {
      response.resume();
      response.on("close", () => resolve(response.statusCode === 200));
    });
    ping.on("timeout", () => ping.destroy());
    ping.on("error", () => resolve(false));
    ping.end();
  });
}
