import { BerthError } from "@berth/proto";
import { isEnded } from "../core/model/task-state.js";
import { linkSignals } from "../runtime/abort.js";
import { Notifier } from "../runtime/notifier.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";
import { findTarget } from "./lookup-target.js";

/**
 * Waits until a target has a task with a node. A task that has ended counts, because the caller then gets the reason.
 *
 * @throws BerthError BERTH_DEADLINE with the reason why the task has no node; BERTH_NOT_FOUND
 */
export async function awaitPlacedTask(
  target: string,
  timeoutMs: number,
  { state, runtime }: Pick<ApiContext, "state" | "runtime">,
  signal: AbortSignal,
): Promise<void> {
  const link = linkSignals(signal);
  const changed = new Notifier();
  const unsubscribe = state.onChange(() => changed.notifyAll());
  const cancelTimeout = runtime.clock.after(timeoutMs, () =>
    link.abort(
      new BerthError({
        code: "BERTH_DEADLINE",
        message: `${target} has no node after ${Math.ceil(timeoutMs / 1_000)} s${pendingReason(state, target)}`,
      }),
    ),
  );
  try {
    while (!hasPlacedTask(state, target)) {
      await changed.wait(link.signal);
      link.signal.throwIfAborted();
    }
  } finally {
    cancelTimeout();
    unsubscribe();
    link.unlink();
  }
}

function hasPlacedTask(state: ClusterState, reference: string): boolean {
  const target = findTarget(state, reference);
  const tasks = target.kind === "task" ? [target.task] : target.tasks;
  return tasks.some((task) => task.nodeId !== "" || isEnded(task));
}

function pendingReason(state: ClusterState, reference: string): string {
  const target = findTarget(state, reference);
  const [task] = target.kind === "task" ? [target.task] : target.tasks;
  const message = task?.status?.message ?? "";
  return message === "" ? "" : `: ${message}`;
}
