import { availableParallelism } from "node:os";
import type { WorkKind } from "../core/tasks/container-event.js";

type LimitName = "change" | "inspect" | "stop" | "pull" | "probe" | "check" | "hook" | "files";

/**
 * Returns how many containers a daemon should create or start concurrently. More than two per processor only compete
 * for it, which delays the first container. More than six wait for dockerd's locks. With fewer than two, one hanging
 * request would block the host.
 */
export function changeLimit(processors: number): number {
  return Math.min(Math.max(2 * processors, 2), 6);
}

/**
 * Maximum number of effects in flight for each limit:
 *
 * - `change`: see {@link changeLimit}
 * - `stop`: Docker waits for the grace period, which costs nothing
 * - `pull`: two pulls share the bandwidth well, and Docker loads several layers of each
 * - `check`: each starts a process in a container, and may hang
 * - `hook`: each starts a process, and may take minutes
 * - `probe`, `files`: these effects do not involve Docker
 */
const LIMITS: Readonly<Record<LimitName, number>> = {
  change: changeLimit(availableParallelism()),
  inspect: 4,
  stop: 128,
  pull: 2,
  probe: 32,
  check: 4,
  hook: 32,
  files: 8,
};

const LIMIT_OF: Readonly<Record<WorkKind, LimitName>> = {
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
  // Does not wait for other hooks, because the grace period has begun.
  "pre-stop": "stop",
  "write-files": "files",
  "write-shipped": "files",
  "remove-files": "files",
  reject: "probe",
};

/** Bounds the concurrency of each kind of work, so that no kind delays another. */
export class ConcurrencyLimits {
  readonly #limits: Readonly<Record<LimitName, ConcurrencyLimit>> = {
    change: new ConcurrencyLimit(LIMITS.change),
    inspect: new ConcurrencyLimit(LIMITS.inspect),
    stop: new ConcurrencyLimit(LIMITS.stop),
    pull: new ConcurrencyLimit(LIMITS.pull),
    probe: new ConcurrencyLimit(LIMITS.probe),
    check: new ConcurrencyLimit(LIMITS.check),
    hook: new ConcurrencyLimit(LIMITS.hook),
    files: new ConcurrencyLimit(LIMITS.files),
  };

  /**
   * Runs the effect when its limit permits, and settles as the effect does. Starts run before creates, so that tasks
   * that have begun finish first.
   */
  run<T>(kind: WorkKind, effect: () => Promise<T>): Promise<T> {
    return this.#limits[LIMIT_OF[kind]].run(effect, { isUrgent: kind === "start" });
  }
}

/**
 * Runs at most `maxRunning` effects at a time. The queue is bounded by the number of tasks: each has at most one
 * effect.
 */
export class ConcurrencyLimit {
  readonly #maxRunning: number;
  readonly #waiting: (() => Promise<void>)[] = [];
  #running = 0;

  constructor(maxRunning: number) {
    this.#maxRunning = maxRunning;
  }

  /**
   * Runs the effect when the limit permits, and settles as the effect does. An urgent effect goes to the front of the
   * queue.
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
    while (this.#running < this.#maxRunning) {
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
