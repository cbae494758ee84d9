import { readFile } from "node:fs/promises";
import type { Ticker } from "../../runtime/ticker.js";

/**
 * Interval between two checks of all processes, in which a dead container may get connections if Docker does not report
 * its exit. A hundred containers cost 0.1 % of a CPU. The same interval as peer probes, so that an idle agent sleeps in
 * between.
 */
const CHECK_MS = 150;

/** Access to the main processes of containers. */
export interface ContainerProcesses {
  /**
   * Returns whether the process is visible here and belongs to the container. In the agent's PID namespace, another
   * process may have the ID.
   */
  belongsTo(processId: number, containerId: string): Promise<boolean>;
  /** Returns whether the process exists. Costs about 1 µs. */
  isAlive(processId: number): boolean;
}

export const containerProcesses: ContainerProcesses = {
  // Docker names the cgroup after the container, with every cgroup driver.
  belongsTo: async (processId, containerId) => {
    const cgroups = await readFile(`/proc/${processId}/cgroup`, "utf8").catch(() => "");
    return containerId !== "" && cgroups.includes(containerId);
  },
  isAlive: (processId) => {
    try {
      process.kill(processId, 0);
      return true;
    } catch (error) {
      // EPERM means that the process exists and belongs to another user.
      return error instanceof Error && "code" in error && error.code === "EPERM";
    }
  },
};

/** A container that was running when Docker last reported its state. */
export interface RunningContainer {
  readonly taskId: string;
  readonly containerId: string;
  readonly processId: number;
}

export interface ProcessWatchOptions {
  readonly processes: ContainerProcesses;
  readonly ticker: Pick<Ticker, "every">;
  readonly runningContainers: () => Iterable<RunningContainer>;
  /** Called once for each container. */
  readonly onExited: (container: RunningContainer) => void;
}

interface TrackedProcess {
  /** `unverified`: the process is not known to belong to the container, so its exit is not reported. */
  state: "unverified" | "running" | "exited";
}

/**
 * Notices when a container exits without asking dockerd, which reports nothing while it is stopped and late on a busy
 * host. Reports only processes that were seen alive and known to belong to the container.
 */
export class ProcessWatch {
  readonly #options: ProcessWatchOptions;
  /** By process ID: a restarted container has another one. */
  #processes = new Map<number, TrackedProcess>();

  constructor(options: ProcessWatchOptions) {
    this.#options = options;
    options.ticker.every(CHECK_MS, () => this.reportExits());
  }

  /** Reports the processes that have exited since the last call. */
  reportExits(): void {
    const { processes, runningContainers, onExited } = this.#options;
    const before = this.#processes;
    this.#processes = new Map();
    for (const container of runningContainers()) {
      const { processId } = container;
      const tracked = before.get(processId) ?? this.#track(container);
      this.#processes.set(processId, tracked);
      if (tracked.state !== "running" || processes.isAlive(processId)) continue;
      tracked.state = "exited";
      onExited(container);
    }
  }

  #track({ processId, containerId }: RunningContainer): TrackedProcess {
    const tracked: TrackedProcess = { state: "unverified" };
    void this.#options.processes.belongsTo(processId, containerId).then((isVerified) => {
      if (isVerified) tracked.state = "running";
    });
    return tracked;
  }
}
