import { readFile } from "node:fs/promises";

/** What this host's kernel says of the first processes of containers. */
export interface ContainerProcesses {
  /** Whether the process can be seen from here and is the container's: its number may mean another one in our namespace. */
  isOf(processId: number, containerId: string): Promise<boolean>;
  /** Costs a microsecond. */
  isThere(processId: number): boolean;
}

export const containerProcesses: ContainerProcesses = {
  // Every Docker names the cgroup after the container, whichever driver it uses.
  isOf: async (processId, containerId) => {
    const cgroups = await readFile(`/proc/${processId}/cgroup`, "utf8").catch(() => "");
    return containerId !== "" && cgroups.includes(containerId);
  },
  isThere: (processId) => {
    try {
      process.kill(processId, 0);
      return true;
    } catch (error) {
      // Not ours to signal, then it is there.
      return error instanceof Error && "code" in error && error.code === "EPERM";
    }
  },
};
