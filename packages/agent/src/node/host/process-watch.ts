import type { Ticker } from "../../runtime/ticker.js";
import type { ContainerProcesses } from "./container-processes.js";

/**
 * So long a container that died without Docker's word may get connections; a hundred of them cost 0.1 % of a processor.
 * As often as peers are asked, since an agent with nothing to do sleeps in between.
 */
const LOOK_MS = 150;

/** A container that runs by Docker's last word. */
export interface RunningContainer {
  readonly taskId: string;
  readonly containerId: string;
  readonly processId: number;
}

export interface ProcessWatchOptions {
  readonly processes: ContainerProcesses;
  readonly pulse: Pick<Ticker, "every">;
  readonly running: () => Iterable<RunningContainer>;
  /** Said once of each. */
  readonly onEnded: (container: RunningContainer) => void;
}

/**
 * Sees containers end without asking Docker, which tells nothing while it is stopped, and stops its containers then, and
 * which tells late on a busy host. Only a process that was seen alive, and known to be the container's, can be missed.
 */
export class ProcessWatch {
  readonly #options: ProcessWatchOptions;
  /** By process: a container that is started again has another one. */
  #known = new Map<number, { isOurs: boolean }>();

  constructor(options: ProcessWatchOptions) {
    this.#options = options;
    options.pulse.every(LOOK_MS, () => this.look());
  }

  look(): void {
    const { processes, running, onEnded } = this.#options;
    const before = this.#known;
    this.#known = new Map();
    for (const container of running()) {
      const { processId } = container;
      const known = before.get(processId) ?? this.#meet(container);
      this.#known.set(processId, known);
      if (!known.isOurs || processes.isThere(processId)) continue;
      known.isOurs = false;
      onEnded(container);
    }
  }

  #meet({ processId, containerId }: RunningContainer): { isOurs: boolean } {
    const met = { isOurs: false };
    void this.#options.processes.isOf(processId, containerId).then((isOurs) => {
      met.isOurs = isOurs;
    });
    return met;
  }
}
