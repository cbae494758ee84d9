import { Restore_State, type UnknownTask } from "@berth/proto";
import type { Logger } from "pino";
import { isComplete, type RestoreProgress, restoreProgress } from "../core/restore/restore-progress.js";
import type { Writer } from "../reconciler/writer.js";
import { onAbort } from "../runtime/abort.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import { RESTORE_NAME } from "../state/record-kinds.js";

export interface RestoreMonitorOptions {
  readonly state: ClusterState;
  readonly writer: Pick<Writer, "submit">;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Tracks a restore from a backup. While it is pending, agents keep and report the containers of unknown tasks. The
 * restore completes automatically once all nodes have reported and there is no such container.
 */
export class RestoreMonitor {
  readonly #options: RestoreMonitorOptions;
  /** The reports of nodes, in memory only: agents send them again to a new leader. */
  readonly #reports = new Map<string, readonly UnknownTask[]>();

  constructor(options: RestoreMonitorOptions) {
    this.#options = options;
    const unsubscribe = options.state.onChange(({ nodes }) => {
      for (const [nodeId, { after }] of nodes) {
        if (after === undefined) this.#reports.delete(nodeId);
      }
      if (nodes.size > 0 && this.#reports.size > 0) this.#completeIfDone();
    });
    onAbort(options.signal, unsubscribe);
  }

  get progress(): RestoreProgress {
    return restoreProgress(this.#options.state.nodes.values(), this.#reports);
  }

  /** Records the unknown tasks of a node. */
  record(nodeId: string, tasks: readonly UnknownTask[]): void {
    if (!this.#options.state.isRestorePending) return;
    this.#reports.set(nodeId, tasks);
    this.#completeIfDone();
  }

  #completeIfDone(): void {
    const { state, writer, logger, signal } = this.#options;
    if (!state.isRestorePending || !isComplete(this.progress)) return;
    const done = writer.submit(
      (current) => ({
        changes: isComplete(this.progress) ? completeRestoreChanges(current) : [],
        result: undefined,
      }),
      signal,
    );
    done.then(
      () => logger.info("the restore from a backup is complete"),
      (error: unknown) => {
        if (!signal.aborted) logger.warn({ err: error }, "cannot complete the restore");
      },
    );
  }
}

/** Returns the change that completes a pending restore. Empty if none is pending. */
export function completeRestoreChanges({ restore }: ClusterState): readonly Change[] {
  if (restore?.state !== Restore_State.PENDING) return [];
  return [
    { kind: "put-restore", name: RESTORE_NAME, restore: { ...restore, state: Restore_State.COMPLETE } },
  ];
}
