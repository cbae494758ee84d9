import type { WorkKind } from "../core/tasks/container-event.js";
import { Lane } from "./lane.js";

type LaneName = "change" | "look" | "stop" | "pull" | "knock";

/**
 * `change`: a daemon starts containers fastest with four to eight requests under way, more only get in each other's
 * way. `stop`: Docker spends the grace waiting, which costs it nothing. `pull`: two share the line well, and Docker
 * loads several layers of each at once. `knock`: Docker is not asked.
 */
const WIDTHS: Readonly<Record<LaneName, number>> = { change: 6, look: 4, stop: 128, pull: 2, knock: 32 };

const LANE_OF: Readonly<Record<WorkKind, LaneName>> = {
  "check-image": "look",
  create: "change",
  connect: "change",
  start: "change",
  remove: "change",
  look: "look",
  pull: "pull",
  stop: "stop",
  knock: "knock",
};

/** Bounded concurrency per kind of work, so that no kind holds up another. */
export class WorkLanes {
  readonly #lanes: Readonly<Record<LaneName, Lane>> = {
    change: new Lane(WIDTHS.change),
    look: new Lane(WIDTHS.look),
    stop: new Lane(WIDTHS.stop),
    pull: new Lane(WIDTHS.pull),
    knock: new Lane(WIDTHS.knock),
  };

  /** A start goes before further creates: what has been begun is finished first. */
  run<T>(kind: WorkKind, effect: () => Promise<T>): Promise<T> {
    return this.#lanes[LANE_OF[kind]].run(effect, { isUrgent: kind === "start" });
  }
}
