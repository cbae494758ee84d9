import { fullName, stackOf } from "../cluster/spec.js";
import type { Action } from "../history/history.js";
import type { CheckContext } from "./check-context.js";

/** ACK: a change that was confirmed to a user is in the records, whichever server leads later. */
export class AcknowledgedChanges {
  readonly #context: CheckContext;
  #checked = 0;

  constructor(context: CheckContext) {
    this.#context = context;
  }

  check(): void {
    const { cluster, records, report } = this.#context;
    for (const { action, outcome, version } of cluster.user.answers.slice(this.#checked)) {
      this.#checked += 1;
      if (outcome !== "done" || version === 0) continue;
      const name = changedService(action);
      if (name === undefined) continue;
      const isRemovalRequested = cluster.user.requests.some(
        (each) =>
          (each.kind === "remove" && each.service === name) ||
          (each.kind === "remove-stack" && each.stack === stackOf(name)),
      );
      const recorded = records.serviceNamed(fullName(name))?.version ?? 0;
      if (recorded < version && !isRemovalRequested) {
        report("ACK", `${name} was accepted as version ${version}, but its record has version ${recorded}`);
      }
    }
  }
}

/** Returns the service that the action gives a new version. */
function changedService(action: Action): string | undefined {
  if (action.kind === "deploy") return action.definition.name;
  return action.kind === "scale" || action.kind === "rollback" ? action.service : undefined;
}
