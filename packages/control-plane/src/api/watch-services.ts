import type { WatchedService, WatchServicesRequest, WatchServicesResponse } from "@berth/proto";
import { newestTasks } from "../core/orchestrator/newest-tasks.js";
import { linkSignals, onAbort } from "../runtime/abort.js";
import { sleep } from "../runtime/clock.js";
import type { ClusterState } from "../state/cluster-state.js";
import { serviceSnapshot } from "../state/service-snapshot.js";
import type { ApiContext } from "./api-context.js";
import { serviceSummary } from "./summaries.js";

/** Minimum interval between two responses. A large service changes a thousand times while it starts. */
const MIN_INTERVAL_MS = 50;

/** Streams the state of all requested services, then each change. Ends with the call or the term. */
export async function* watchServices(
  { serviceIds }: WatchServicesRequest,
  { state, runtime, signal: term }: ApiContext,
  caller: AbortSignal,
): AsyncGenerator<WatchServicesResponse> {
  const watched = new Set(serviceIds);
  const changed = new Set(watched);
  const link = linkSignals(caller, term);
  const { signal } = link;
  let wake = (): void => {};
  const unsubscribe = state.onChange((delta) => {
    for (const id of delta.services) {
      if (watched.has(id)) changed.add(id);
    }
    // The nodes determine how many tasks a global service should have.
    if (delta.nodes.size > 0) {
      for (const id of watched) changed.add(id);
    }
    if (changed.size > 0) wake();
  });
  const stopWatching = onAbort(signal, () => wake());
  try {
    while (!signal.aborted) {
      const services = [...changed].map((id) => createWatchedService(state, id, runtime.wallClockMs()));
      changed.clear();
      yield { services };
      await sleep(runtime.clock, MIN_INTERVAL_MS, signal);
      if (changed.size > 0 || signal.aborted) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    signal.throwIfAborted();
  } finally {
    unsubscribe();
    stopWatching();
    link.unlink();
  }
}

function createWatchedService(state: ClusterState, serviceId: string, nowMs: number): WatchedService {
  const snapshot = serviceSnapshot(state, serviceId);
  if (snapshot !== undefined) {
    const tasks = [...newestTasks(snapshot.tasks)];
    return { serviceId, removed: false, summary: serviceSummary(state, snapshot.service, nowMs), tasks };
  }
  const tasks = [...state.tasks.ofService(serviceId).values()];
  return { serviceId, removed: tasks.length === 0, summary: undefined, tasks };
}
