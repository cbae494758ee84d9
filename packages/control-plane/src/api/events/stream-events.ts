import type { ClusterEvent, StreamEventsRequest, StreamEventsResponse } from "@berth/proto";
import { linkSignals } from "../../runtime/abort.js";
import { Notifier } from "../../runtime/notifier.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ApiContext } from "../api-context.js";

/**
 * Streams past events, oldest first; with `follow`, continues with new events until the caller cancels or the term ends.
 * A caller that reads too slowly gets a warning with the number of missed events.
 */
export async function* streamEvents(
  request: StreamEventsRequest,
  { events, state, signal: termSignal }: Pick<ApiContext, "events" | "state" | "signal">,
  callerSignal: AbortSignal,
): AsyncGenerator<StreamEventsResponse> {
  const isResumed = request.afterEpoch === events.epoch;
  const link = linkSignals(callerSignal, termSignal);
  let next = isResumed ? request.afterSequence + 1 : events.firstSequence;
  const appended = new Notifier();
  const unsubscribe = events.onAppended(() => appended.notifyAll());
  try {
    for (const text of describeUnknownNames(request, state)) yield warning(text);
    // A caller that resumes within this term has already received the events from before the term.
    for (const event of isResumed ? [] : events.reconstructedEvents()) {
      if (matches(event, request, false)) yield eventResponse(event);
    }
    while (!link.signal.aborted) {
      if (next < events.firstSequence) {
        yield warning(`${events.firstSequence - next} events are missing: the caller reads too slowly`);
        next = events.firstSequence;
      }
      const event = events.get(next);
      if (event !== undefined) {
        next += 1;
        if (matches(event, request, isResumed)) yield eventResponse(event);
      } else if (!request.follow) {
        return;
      } else {
        await appended.wait(link.signal);
      }
    }
    link.signal.throwIfAborted();
  } finally {
    unsubscribe();
    link.unlink();
  }
}

function matches(
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

function eventResponse(value: ClusterEvent): StreamEventsResponse {
  return { message: { $case: "event", value } };
}

/** Returns warnings for names that do not exist now. They are not errors, since past events may contain them. */
function describeUnknownNames(
  { service, node }: StreamEventsRequest,
  state: ClusterState,
): readonly string[] {
  const isService = state.services.get(service) !== undefined || state.services.byName(service) !== undefined;
  const isNode = [...state.nodes.values()].some(
    ({ id, description }) => node === id || node === description?.hostname,
  );
  return [
    ...(service === "" || isService ? [] : [`no such service: ${JSON.stringify(service)}`]),
    ...(node === "" || isNode ? [] : [`no such node: ${JSON.stringify(node)}`]),
  ];
}

function warning(value: string): StreamEventsResponse {
  return { message: { $case: "warning", value } };
}
