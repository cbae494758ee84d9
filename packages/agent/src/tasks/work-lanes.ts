import { availableParallelism } from "node:os";
import type { WorkKind } from "../core/tasks/container-event.js";

type LaneName = "change" | "inspect" | "stop" | "pull" | "probe" | "check" | "hook" | "files";

/**
 * Returns how many containers a daemon should create or start concurrently. More than two per processor only compete
 * for it, which delays the first container. More than six wait for dockerd's locks. With fewer than two, one hanging
 * request would block the host.
 */
export function changeWidth(processors: number): number {
  return Math.min(Math.max(2 * processors, 2), 6);
}

/**
 * Maximum number of effects in flight for each lane. `change`: see {@link changeWidth}. `stop`: Docker waits for the grace period, which costs nothing. `pull`: two pulls share the
 * bandwidth well, and Docker loads several layers of each. `check`: each starts a process in a container, and may hang.
 * `hook`: each starts a process, and may take minutes. `probe`, `files`: do not involve Docker.
 */
const LANE_WIDTHS: Readonly<Record<LaneName, number>> = {
  change: changeWidth(availableParallelism()),
  inspect: 4,
  stop: 128,
  pull: 2,
  probe: 32,
  check: 4,
  hook: 32,
  files: 8,
};

const LANE_OF: Readonly<Record<WorkKind, LaneName>> = {
  "check-image": "inspect",
  create: "change",
  connect: "change",
  start: "change",
  remove: "change",
  inspect: "inspect",
  pull: "pull",
  stop: "stop",
  "probe-ports": "probe",
  "check-health": "check",
  "post-start": "hook",
  // Not behind other hooks: the grace period has begun.
  "pre-stop": "stop",
  "write-files": "files",
  "write-shipped": "files",
  "remove-files": "files",
  reject: "probe",
};

/** Bounds the concurrency of each kind of work, so that no kind delays another. */
export class WorkLanes {
  readonly #lanes: Readonly<Record<LaneName, Lane>> = {
    change: new Lane(LANE_WIDTHS.change),
    inspect: new Lane(LANE_WIDTHS.inspect),
    stop: new Lane(LANE_WIDTHS.stop),
    pull: new Lane(LANE_WIDTHS.pull),
    probe: new Lane(LANE_WIDTHS.probe),
    check: new Lane(LANE_WIDTHS.check),
    hook: new Lane(LANE_WIDTHS.hook),
    files: new Lane(LANE_WIDTHS.files),
  };

  /** Runs the effect in its lane and settles as it does. A start goes before creates: begun tasks finish first. */
  run<T>(kind: WorkKind, effect: () => Promise<T>): Promise<T> {
    return this.#lanes[LANE_OF[kind]].run(effect, { isUrgent: kind === "start" });
  }
}

/** Runs at most `width` effects at a time. The queue is bounded by the number of tasks: each has at most one effect. */
export class Lane {
  readonly #width: number;
  readonly #waiting: (() => Promise<void>)[] = [];
  #running = 0;

  constructor(width: number) {
    this.#width = width;
  }

  /**
   * Runs the effect once the lane has room, and settles as it does. An urgent effect goes to the front of the queue.
   */
  run<T>(effect: () => Promise<T>, { isUrgent }: { readonly isUrgent: boolean }): Promise<T> {
    return new Promise((resolve, reject) => {
      const entry = (): Promise<void> => effect().then(resolve, reject);
      if (isUrgent) this.#waiting.unshift(entry);
      else this.#waiting.push(entry);
      this.#next();
    });
  }

  #next(): void {
    while (this.#running < this.#width) {
      const entry = this.#waiting.shift();
      if (entry === undefined) return;
      this.#running += 1;
      void entry().finally(() => {
        this.#running -= 1;
        this.#next();
      });
    }
  }
}
