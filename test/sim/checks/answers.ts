import { fullName } from "../cluster/spec.js";
import type { Scene } from "./scene.js";

/** What a user was told is done has been done, whoever leads afterwards. */
export class Answers {
  readonly #scene: Scene;
  #seen = 0;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  look(): void {
    const { cluster, records, report } = this.#scene;
    for (const { action, outcome, version } of cluster.user.answers.slice(this.#seen)) {
      this.#seen += 1;
      if (outcome !== "done" || version === 0 || action.kind === "remove") continue;
      if (action.kind === "availability" || action.kind === "rebalance" || action.kind === "load") continue;
      const name = action.kind === "deploy" ? action.wish.name : action.service;
      const isBeingRemoved = cluster.user.asked.some(
        (each) => each.kind === "remove" && each.service === name,
      );
      const known = records.serviceNamed(fullName(name))?.version ?? 0;
      if (known < version && !isBeingRemoved) {
        report("ACK", `${name} was accepted as version ${version} and is at ${known}`);
      }
    }
  }
}
