import type { WatchClusterRequest, WatchClusterResponse, WatchPosition } from "@berth/proto";
import { abortable, linkSignals } from "../../runtime/abort.js";
import { Notifier } from "../../runtime/notifier.js";
import type { ApiContext } from "../api-context.js";
import type { ClusterWatch } from "./cluster-watch.js";

/** Maximum time between two updates. In a quiet cluster, empty ones show a watcher that it has all changes. */
const HEARTBEAT_MS = 2_000;

/**
 * Streams the view of the cluster: a snapshot, then updates. A watcher that resumes gets the updates since its position,
 * or a snapshot with the events since then. Ends with the call or the term.
 *
 * A watcher that reads slowly delays only itself. It gets a snapshot once its next update is no longer kept.
 */
export async function* watchCluster(
  { after, pastEvents, hasTraffic }: WatchClusterRequest,
  context: Pick<ApiContext, "clusterWatch" | "missedEvents" | "trafficWatch" | "runtime" | "signal">,
  caller: AbortSignal,
): AsyncGenerator<WatchClusterResponse> {
  const { clusterWatch: watch, missedEvents, trafficWatch, runtime, signal: term } = context;
  const { clock } = runtime;
  const view = watch.open();
  const link = linkSignals(caller, term, view.failed);
  const { signal } = link;
  const changed = new Notifier();
  const notify = (): void => changed.notifyAll();
  const unsubscribe = watch.onUpdated(notify);
  const traffic = hasTraffic ? trafficWatch.subscribe(notify) : undefined;
  try {
    await abortable(view.ready, signal);
    let position = after;
    let sequence = resumedSequence(after, watch);
    // A watcher that resumes without having missed an update gets an empty one at once.
    let heartbeatAtMs = clock.nowMs();
    while (!signal.aborted) {
      const next = sequence === undefined ? undefined : watch.update(sequence + 1);
      if (next !== undefined) {
        yield next.response;
        position = next.position;
        sequence = position.sequence;
      } else if (sequence !== watch.position.sequence) {
        const findMissed = await missedEvents.since(position, { pastEvents, signal });
        // No other code runs between these lines, so all of them describe the same moment.
        position = watch.position;
        const parts = watch.snapshotParts();
        const last = watch.finalPart(findMissed(position.eventSequence));
        yield* parts;
        yield last;
        sequence = position.sequence;
      } else if (clock.nowMs() >= heartbeatAtMs) {
        yield watch.finalPart();
      } else {
        // Counters are not updates: they do not show that the watcher has all changes.
        const counters = traffic?.take();
        if (counters === undefined) {
          const cancel = clock.after(heartbeatAtMs - clock.nowMs(), notify);
          await changed.wait(signal);
          cancel();
        } else {
          yield { message: { $case: "traffic", value: counters } };
        }
        continue;
      }
      heartbeatAtMs = clock.nowMs() + HEARTBEAT_MS;
    }
    signal.throwIfAborted();
  } finally {
    traffic?.close();
    unsubscribe();
    view.close();
    link.unlink();
  }
}

/** Returns the number of the last update that a watcher of this leader received. Undefined if it needs a snapshot. */
function resumedSequence(after: WatchPosition | undefined, watch: ClusterWatch): number | undefined {
  if (after === undefined || after.epoch !== watch.position.epoch) return undefined;
  const isCurrent = after.sequence === watch.position.sequence;
  return isCurrent || watch.update(after.sequence + 1) !== undefined ? after.sequence : undefined;
}
