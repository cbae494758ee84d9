import { readFile } from "node:fs/promises";

export interface ProcessSignal {
  /** As Docker counts processes. */
  readonly pid: number;
  readonly containerId: string;
  readonly unixSignal: NodeJS.Signals;
}

/**
 * Sends a signal to a process of a container, for which Docker has no call. Does nothing unless the process can be seen
 * from here and belongs to the container: its number may be somebody else's by now, or of another namespace.
 */
export async function signalProcess({ pid, containerId, unixSignal }: ProcessSignal): Promise<void> {
  if (pid <= 1) return;
  const groups = await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => "");
  if (!groups.includes(containerId)) return;
  try {
    process.kill(pid, unixSignal);
  } catch {
    // It has ended meanwhile.
  }
}
