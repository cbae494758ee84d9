import { fullName, stackOf } from "../cluster/spec.js";
import type { Action } from "../history/history.js";
import type { CheckContext } from "./check-context.js";

/** What a user was told is done has been done, whoever leads afterwards. */
export class AcknowledgedChanges {
  readonly #context: CheckContext;
  #seen = 0;

  constructor(context: CheckContext) {
    this.#context = context;
  }

  check(): void {
    const { cluster, records, report } = this.#context;
    for (const { action, outcome, version } of cluster.user.answers.slice(this.#seen)) {
      this.#seen += 1;
      if (outcome !== "done" || version === 0) continue;
      const name = serviceOf(action);
      if (name === undefined) continue;
      const isBeingRemoved = cluster.user.requests.some(
        (each) =>
          (each.kind === "remove" && each.service === name) ||
          (each.kind === "remove-stack" && each.stack === stackOf(name)),
      );
      const known = records.serviceNamed(fullName(name))?.version ?? 0;
      if (known < version && !isBeingRemoved) {
        report("ACK", `${name} was accepted as version ${version} and is at ${known}`);
      }
    }
  }
}

/** The service that it gives a new version. */
function serviceOf(action: Action): string | undefined {
  if (action.kind === "deploy") return action.definition.name;
  return action.kind === "scale" || action.kind === "rollback" ? action.service : undefined;
}
