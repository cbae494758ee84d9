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
