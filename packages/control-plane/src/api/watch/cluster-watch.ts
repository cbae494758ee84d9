import type {
  ClusterEvent,
  ClusterUpdate,
  ClusterView,
  WatchClusterResponse,
  WatchPosition,
} from "@berth/proto";
import type { Logger } from "pino";
import { type LoggedUpdate, UpdateLog } from "../../core/watch/update-log.js";
import { finalPart } from "../../core/watch/view-tables.js";
import type { Writer } from "../../reconciler/writer.js";
import { linkSignals, onAbort } from "../../runtime/abort.js";
import { sleep } from "../../runtime/clock.js";
import { Emitter } from "../../runtime/emitter.js";
import { Notifier } from "../../runtime/notifier.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { EventLog } from "../events/event-log.js";
import { ROLLOUT_INTERVAL_MS, ViewBuilder } from "./view-builder.js";

/** Minimum interval between two updates. A busy cluster changes 200 times per second. */
const MIN_INTERVAL_MS = 100;

/** Time for which the view is kept without a watcher. Browsers reconnect within seconds. */
const LINGER_MS = 30_000;

export interface ClusterWatchOptions {
  readonly state: ClusterState;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly writer: Pick<Writer, "untilIdle">;
  readonly events: EventLog;
  readonly epoch: bigint;
  readonly isSuspect: (nodeId: string) => boolean;
  /** Calls the listener when a node becomes suspect or is trusted again. The returned function removes it. */
  readonly onSuspicion: (listener: (nodeId: string) => void) => () => void;
  /** Returns a source of the cluster's own view. It calls the listener when the view may have changed. */
  readonly observeCluster: (onChange: () => void, signal: AbortSignal) => () => ClusterView;
  /** Aborts when the term ends. */
  readonly signal: AbortSignal;
}

/** The use of the view by one watcher. */
export interface OpenWatch {
  /** Resolves when the view is complete. Rejects when it cannot be computed. */
  readonly ready: Promise<void>;
  /** Aborts when computing the view fails. */
  readonly failed: AbortSignal;
  close(): void;
}

/** The running computation of the view. Exists while there are watchers, and for `LINGER_MS` after the last one. */
interface RunningView extends Pick<OpenWatch, "ready" | "failed"> {
  readonly builder: ViewBuilder;
  stop(): void;
}

/**
 * The view of the cluster that all watchers of this leader share. It exists while there are watchers. Each update is
 * computed once, and is the same object for all of them.
 */
export class ClusterWatch {
  readonly #options: ClusterWatchOptions;
  readonly #log = new UpdateLog();
  readonly #updated = new Emitter();
  #running: RunningView | undefined;
  #watchers = 0;
  #cancelStop = (): void => {};
  #sequence = 0;
  #eventSequence = 0;
  #revision = 0n;
  /** The parts of a snapshot after the update `#sequence`, once a watcher has asked for them. */
  #snapshot: readonly WatchClusterResponse[] | undefined;

  constructor(options: ClusterWatchOptions) {
    this.#options = options;
  }

  /** Position after the latest update. */
  get position(): WatchPosition {
    return {
      epoch: Number(this.#options.epoch),
      sequence: this.#sequence,
      revision: Number(this.#revision),
      eventSequence: this.#eventSequence,
    };
  }

  /** Keeps the view up to date until the watch is closed. */
  open(): OpenWatch {
    this.#watchers += 1;
    this.#cancelStop();
    this.#running ??= this.#start();
    const { ready, failed } = this.#running;
    let isOpen = true;
    const close = (): void => {
      if (!isOpen) return;
      isOpen = false;
      this.#watchers -= 1;
      if (this.#watchers > 0) return;
      this.#cancelStop = this.#options.runtime.clock.after(LINGER_MS, () => this.#stop());
    };
    return { ready, failed, close };
  }

  /** Calls the listener after each update. The returned function removes the listener. */
  onUpdated(listener: () => void): () => void {
    return this.#updated.on(listener);
  }

  /** Returns the update with this number. Undefined when it is no longer kept, or does not exist yet. */
  update(sequence: number): LoggedUpdate | undefined {
    return this.#log.get(sequence);
  }

  /** Returns the parts of a snapshot as of `position`, except for the last part. */
  snapshotParts(): readonly WatchClusterResponse[] {
    this.#snapshot ??= (this.#running?.builder.tables.snapshotParts(this.#nowMs()) ?? []).map(updateResponse);
    return this.#snapshot;
  }

  /** Returns the last part of a snapshot as of `position`. Without events, it is an update without content. */
  finalPart(events?: Pick<ClusterUpdate, "events" | "areEventsMissing">): WatchClusterResponse {
    return updateResponse(finalPart(this.position, this.#nowMs(), events));
  }

  #start(): RunningView {
    const { state, logger, events, onSuspicion, observeCluster, signal } = this.#options;
    const link = linkSignals(signal);
    const builder = new ViewBuilder(this.#options);
    const changed = new Notifier();
    const notify = (): void => changed.notifyAll();
    const clusterView = observeCluster(() => {
      builder.markClusterStale();
      notify();
    }, link.signal);
    builder.setClusterSource(clusterView);
    const removeListeners = [
      state.onChange((delta) => {
        builder.markChanged(delta);
        notify();
      }),
      events.onAppended(notify),
      onSuspicion((nodeId) => {
        builder.markNodeStale(nodeId);
        notify();
      }),
    ];
    onAbort(link.signal, () => {
      for (const removeListener of removeListeners) removeListener();
    });
    this.#log.clear();
    this.#snapshot = undefined;
    const failure = new AbortController();
    const fail = (error: unknown): void => {
      if (link.signal.aborted) return;
      logger.error({ err: error }, "watching the cluster failed");
      failure.abort(error);
      this.#stop();
    };
    const ready = this.#complete(builder, link.signal).then(() => {
      // A view that has ended must not change the position of the next one.
      if (!link.signal.aborted) this.#begin(builder);
    });
    // Watchers await `ready` too and get its error, so the handler here only reports it.
    ready.then(() => this.#run({ builder, changed }, link.signal)).catch(fail);
    const stop = (): void => {
      link.abort();
      link.unlink();
    };
    return { builder, ready, failed: failure.signal, stop };
  }

  #stop(): void {
    this.#running?.stop();
    this.#running = undefined;
    this.#log.clear();
    this.#snapshot = undefined;
  }

  /** Discards the changes that built the view: watchers get the initial state as a snapshot, not as an update. */
  #begin(builder: ViewBuilder): void {
    builder.tables.takeChanges();
    this.#sequence += 1;
    this.#eventSequence = this.#options.events.lastSequence;
    this.#revision = this.#options.state.revisions.latest;
  }

  async #run(
    { builder, changed }: { readonly builder: ViewBuilder; readonly changed: Notifier },
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#options.runtime;
    while (!signal.aborted) {
      await sleep(clock, MIN_INTERVAL_MS, signal);
      if (!builder.hasStaleViews && this.#eventSequence === this.#options.events.lastSequence) {
        const cancel = clock.after(ROLLOUT_INTERVAL_MS, () => changed.notifyAll());
        await changed.wait(signal);
        cancel();
      }
      builder.markRolloutsStale(this.#nowMs());
      await this.#complete(builder, signal);
      if (!signal.aborted) this.#publish(builder);
    }
  }

  /**
   * Updates all stale parts of the view, in slices. Concurrent transactions can be applied to the state out of order, so
   * this also waits until the state has all changes up to its latest revision.
   */
  async #complete(builder: ViewBuilder, signal: AbortSignal): Promise<void> {
    const { runtime, writer } = this.#options;
    while (!signal.aborted && !builder.updateSlice(runtime.clock, this.#nowMs())) {
      await sleep(runtime.clock, 0, signal);
    }
    await writer.untilIdle();
    builder.updateSlice(runtime.clock, this.#nowMs());
  }

  /** Adds an update with the changes and events since the last one to the log, if there are any. */
  #publish(builder: ViewBuilder): void {
    const { state } = this.#options;
    this.#revision = state.revisions.latest;
    const content = builder.tables.takeChanges();
    const events = this.#takeEvents();
    if (content === undefined && events.length === 0) return;
    this.#sequence += 1;
    this.#snapshot = undefined;
    const { position } = this;
    this.#log.add({ ...finalPart(position, this.#nowMs()), ...content, events }, position);
    this.#updated.emit();
  }

  #takeEvents(): ClusterEvent[] {
    const { events } = this.#options;
    const taken: ClusterEvent[] = [];
    while (this.#eventSequence < events.lastSequence) {
      this.#eventSequence += 1;
      const event = events.get(this.#eventSequence);
      if (event !== undefined) taken.push(event);
    }
    return taken;
  }

  #nowMs(): number {
    return this.#options.runtime.wallClockMs();
  }
}

export function updateResponse(value: ClusterUpdate): WatchClusterResponse {
  return { message: { $case: "update", value } };
}
