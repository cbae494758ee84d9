import type { ClusterEvent, StreamEventsRequest, StreamEventsResponse } from "@berth/proto";
import { linkSignals, onAbort } from "../../runtime/abort.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ApiContext } from "../api-context.js";

/**
 * What happened, oldest first, and with `follow` what happens, until the caller or the term ends. A caller that reads
 * more slowly than things happen is told how many events it missed.
 */
export async function* streamEvents(
  request: StreamEventsRequest,
  { events, state, signal: term }: Pick<ApiContext, "events" | "state" | "signal">,
  caller: AbortSignal,
): AsyncGenerator<StreamEventsResponse> {
  const isResumed = request.afterEpoch === events.epoch;
  const over = linkSignals(caller, term);
  let next = isResumed ? request.afterSequence + 1 : events.first;
  let wake = (): void => {};
  const unsubscribe = events.onAppended(() => wake());
  const forget = onAbort(over.signal, () => wake());
  try {
    for (const text of unknownNames(request, state)) yield warning(text);
    // Whoever was told of this term has been told of what came before it.
    for (const event of isResumed ? [] : events.past())
      if (isWanted(event, request, false)) yield told(event);
    while (!over.signal.aborted) {
      if (next < events.first) {
        yield warning(`${events.first - next} events are missing: they came faster than they were read`);
        next = events.first;
      }
      const event = events.at(next);
      if (event !== undefined) {
        next += 1;
        if (isWanted(event, request, isResumed)) yield told(event);
      } else if (!request.follow) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
    over.signal.throwIfAborted();
  } finally {
    unsubscribe();
    forget();
    over.unlink();
  }
}

function isWanted(
  event: ClusterEvent,
  { service, stack, node, sinceMs }: StreamEventsRequest,
  isResumed: boolean,
): boolean {
  return (
    (isResumed || event.timeMs >= sinceMs) &&
    (service === "" || service === event.serviceName || service === event.serviceId) &&
    (stack === "" || stack === event.stack) &&
    (node === "" || node === event.nodeHostname || node === event.nodeId)
  );
}

function told(value: ClusterEvent): StreamEventsResponse {
  return { message: { $case: "event", value } };
}

/** A name of the past is no mistake; one that was mistyped should not look like silence. */
function unknownNames({ service, node }: StreamEventsRequest, state: ClusterState): readonly string[] {
  const isService = state.services.get(service) !== undefined || state.services.byName(service) !== undefined;
  const isNode = [...state.nodes.values()].some(
    (one) => node === one.id || node === one.description?.hostname,
  );
  return [
    ...(service === "" || isService ? [] : [`there is no service ${JSON.stringify(service)} now`]),
    ...(node === "" || isNode ? [] : [`there is no node ${JSON.stringify(node)} now`]),
  ];
}

function warning(value: string): StreamEventsResponse {
  return { message: { $case: "warning", value } };
}
