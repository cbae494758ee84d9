import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { LabError } from "./lab-error.js";
import { type ProcessInfo, signalProcess } from "./processes.js";
import { waitUntil } from "./wait-until.js";

/** A killed process may still be writing to a busy disk. */
const PROCESS_END_TIMEOUT_MS = 20_000;

export interface KillProcessOptions {
  /** For messages: `dockerd of h1`. */
  readonly what: string;
  readonly signal: NodeJS.Signals;
  /** The processes meant, as of now. */
  readonly find: () => readonly ProcessInfo[];
}

/**
 * Signals programs; after SIGKILL it returns when they are gone. Other signals may be ignored, and are not waited for.
 *
 * @throws LabError LAB_NOT_READY when no such program runs.
 */
export async function killProcess({ what, signal, find }: KillProcessOptions): Promise<void> {
  const targets = find();
  if (targets.length === 0) throw new LabError("LAB_NOT_READY", `there is no ${what} to send ${signal} to`);
  for (const target of targets) signalProcess(target, signal);
  if (signal !== "SIGKILL") return;
  const pids = new Set(targets.map(({ pid }) => pid));
  const areGone = (): boolean => !find().some(({ pid }) => pids.has(pid));
  await waitUntil(areGone, { what: `${what} to end`, timeoutMs: PROCESS_END_TIMEOUT_MS });
}

const TAIL_LINES = 10;

/** The error for a daemon that did not live until it was ready, with the end of its log. */
export async function startupError(what: string, logFile: string): Promise<LabError> {
  const log = await readFile(logFile, "utf8").catch(() => "(no log)");
  const tail = log.trimEnd().split("\n").slice(-TAIL_LINES).join("\n");
  return new LabError("LAB_NOT_READY", `${what} ended while starting; the end of ${logFile}:\n${tail}`);
}

/** A daemon that is starting accepts connections before it answers. */
const PING_TIMEOUT_MS = 1_000;

/** Whether a Docker daemon answers on its socket. */
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
