import { readFile } from "node:fs/promises";
import type { Ticker } from "../../runtime/ticker.js";

/**
 * How long a dead container may get connections when Docker does not report its exit. A hundred containers cost 0.1 % of
 * a CPU. The same interval as peer probes, so that an idle agent sleeps in between.
 */
const CHECK_MS = 150;

/** Access to the main processes of containers. */
export interface ContainerProcesses {
  /** Whether the process is visible here and belongs to the container. In our PID namespace, the ID may be another's. */
  belongsTo(processId: number, containerId: string): Promise<boolean>;
  /** Whether the process exists. Costs about 1 µs. */
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
  readonly running: () => Iterable<RunningContainer>;
  /** Called once for each container. */
  readonly onExited: (container: RunningContainer) => void;
}

interface WatchedProcess {
  /** Whether the process is known to be the container's, and its exit has not been reported. */
  isWatched: boolean;
}

/**
 * Notices when a container exits without asking dockerd, which reports nothing while it is stopped and late on a busy
 * host. Reports only processes that were seen alive and known to belong to the container.
 */
export class ProcessWatch {
  readonly #options: ProcessWatchOptions;
  /** By process ID: a restarted container has another one. */
  #processes = new Map<number, WatchedProcess>();

  constructor(options: ProcessWatchOptions) {
    this.#options = options;
    options.ticker.every(CHECK_MS, () => this.check());
  }

  check(): void {
    const { processes, running, onExited } = this.#options;
    const before = this.#processes;
    this.#processes = new Map();
    for (const container of running()) {
      const { processId } = container;
      const known = before.get(processId) ?? this.#identify(container);
      this.#processes.set(processId, known);
      if (!known.isWatched || processes.isAlive(processId)) continue;
      known.isWatched = false;
      onExited(container);
    }
  }

  #identify({ processId, containerId }: RunningContainer): WatchedProcess {
    const identified: WatchedProcess = { isWatched: false };
    void this.#options.processes.belongsTo(processId, containerId).then((isWatched) => {
      identified.isWatched = isWatched;
    });
    return identified;
  }
}
