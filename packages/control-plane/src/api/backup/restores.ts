import {
  BerthError,
  type CompleteRestoreRequest,
  type CompleteRestoreResponse,
  type GetRestoreResponse,
  type Node,
} from "@berth/proto";
import { nodeName } from "../../core/model/node-name.js";
import { completeRestoreChanges } from "../../dispatcher/restore-monitor.js";
import type { ApiContext } from "../api-context.js";

/** Maximum number of missing nodes in a response. */
const MAX_LISTED_NODES = 100;

/** Maximum number of unknown tasks in a response. */
const MAX_LISTED_TASKS = 1_000;

/** Returns the last restore from a backup, and the nodes that it waits for. */
export function getRestore({ state, restoreMonitor }: ApiContext): GetRestoreResponse {
  const { missing, unknown } = state.isRestorePending
    ? restoreMonitor.progress
    : { missing: [], unknown: [] };
  return {
    restore: state.restore,
    missingNodes: namesOf(missing),
    missingNodeCount: missing.length,
    unknownTasks: unknown
      .slice(0, MAX_LISTED_TASKS)
      .map(({ node, task }) => ({ node: nodeName(node), task })),
    unknownTaskCount: unknown.length,
  };
}

/**
 * Completes a restore: agents remove the containers of unknown tasks, and missing nodes can be declared down.
 *
 * @throws BerthError BERTH_RESTORE_PENDING while nodes are missing, unless `force` is set; BERTH_NOT_FOUND when no
 *   restore is pending
 */
export async function completeRestore(
  { force }: CompleteRestoreRequest,
  { writer, restoreMonitor }: ApiContext,
  signal: AbortSignal,
): Promise<CompleteRestoreResponse> {
  return writer.submit((state) => {
    const changes = completeRestoreChanges(state);
    if (changes.length === 0) {
      throw new BerthError({ code: "BERTH_NOT_FOUND", message: "no restore from a backup is pending" });
    }
    const { missing, unknown } = restoreMonitor.progress;
    if (missing.length > 0 && !force) throw missingNodesError(missing);
    return { changes, result: { removedTasks: unknown.length } };
  }, signal);
}

function namesOf(nodes: readonly Node[]): string[] {
  return nodes.slice(0, MAX_LISTED_NODES).map(nodeName);
}

function missingNodesError(missing: readonly Node[]): BerthError {
  const names = namesOf(missing).slice(0, 5).join(", ");
  const others = missing.length > 5 ? ` and ${missing.length - 5} others` : "";
  return new BerthError({
    code: "BERTH_RESTORE_PENDING",
    message: `cannot complete the restore: ${names}${others} have not connected since; start their agents, remove them with "berth node rm", or use --force to replace their tasks`,
  });
}
