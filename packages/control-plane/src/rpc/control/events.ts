import type { ClusterEvent, StreamEventsRequest, StreamEventsResponse } from "@berth/proto";
import { linkSignals } from "../../loop/linked-signal.js";
import { onAbort } from "../../store/abort.js";
import type { ControlScope } from "./scope.js";

/**
 * What happened, oldest first, and with `follow` what happens, until the caller or the term ends. A caller that reads
 * more slowly than things happen is told how many events it missed.
 */
export async function* streamEvents(
  request: StreamEventsRequest,
  { events, signal: term }: Pick<ControlScope, "events" | "signal">,
  caller: AbortSignal,
): AsyncGenerator<StreamEventsResponse> {
  const isResumed = request.afterEpoch === events.epoch;
  const over = linkSignals(caller, term);
  let next = isResumed ? request.afterSequence + 1 : events.first;
  let wake = (): void => {};
  const unsubscribe = events.onNews(() => wake());
  const forget = onAbort(over.signal, () => wake());
  try {
    // Whoever was told of this term has been told of what came before it.
    for (const event of isResumed ? [] : events.past())
      if (isWanted(event, request, false)) yield told(event);
    while (!over.signal.aborted) {
      if (next < events.first) {
        yield missed(events.first - next);
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

function missed(count: number): StreamEventsResponse {
  const value = `${count} events are missing: they came faster than they were read`;
  return { message: { $case: "warning", value } };
}
