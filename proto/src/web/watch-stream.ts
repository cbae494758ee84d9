import { setTimeout as sleep } from "node:timers/promises";
import { type WatchClusterRequest, WatchClusterResponse } from "../../gen/berth/v1/control.js";
import type { WatchPosition } from "../../gen/berth/v1/watch.js";
import { isBerthError } from "../errors.js";
import { EncodedEvent } from "./encoded-event.js";
import type { EventStream } from "./event-stream.js";
import { errorBody, invalidRequest } from "./http-errors.js";

/** Pause before the watch is resumed with another leader. */
const RETRY_MS = 200;

/** The responses as events. All watchers of a leader on this server get the same objects. */
const encodedEvents = new WeakMap<WatchClusterResponse, EncodedEvent>();

export interface WatchStreamOptions {
  readonly request: WatchClusterRequest;
  readonly watch: (request: WatchClusterRequest, signal: AbortSignal) => AsyncIterable<WatchClusterResponse>;
  readonly stream: EventStream;
  readonly signal: AbortSignal;
}

/** Streams the view of the cluster to a browser. Resumes by itself when only the leader has changed. */
export async function streamWatch({ request, watch, stream, signal }: WatchStreamOptions): Promise<void> {
  let { after } = request;
  while (!signal.aborted) {
    try {
      for await (const response of watch({ ...request, after }, signal)) {
        await stream.send(encodedEventOf(response), signal);
        after = positionOf(response) ?? after;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!isInterruption(error)) throw error;
      const interrupted = { name: "interrupted", data: JSON.stringify(errorBody(error)) };
      await stream.send(EncodedEvent.of(interrupted), signal);
    }
    await sleep(RETRY_MS, undefined, { signal }).catch(() => {});
  }
}

/** Returns whether a watch has ended because the leader has changed, or no server can be reached now. */
function isInterruption(error: unknown): boolean {
  return (
    isBerthError(error, "BERTH_NO_LEADER") ||
    isBerthError(error, "BERTH_NOT_LEADER") ||
    isBerthError(error, "BERTH_SERVER_UNREACHABLE") ||
    isBerthError(error, "BERTH_ETCD_UNAVAILABLE") ||
    isBerthError(error, "BERTH_CANCELLED")
  );
}

function encodedEventOf(response: WatchClusterResponse): EncodedEvent {
  let event = encodedEvents.get(response);
  if (event === undefined) {
    const position = positionOf(response);
    event = EncodedEvent.of({
      id: position && formatPosition(position),
      data: JSON.stringify(WatchClusterResponse.toJSON(response)),
    });
    encodedEvents.set(response, event);
  }
  return event;
}

function positionOf({ message }: WatchClusterResponse): WatchPosition | undefined {
  return message?.$case === "update" ? message.value.position : undefined;
}

/** Returns the position as the ID of an event. */
export function formatPosition({ epoch, sequence, revision, eventSequence }: WatchPosition): string {
  return [epoch, sequence, revision, eventSequence].join(".");
}

/**
 * Parses the ID of an event.
 *
 * @throws BerthError BERTH_INPUT_INVALID
 */
export function parsePosition(id: string): WatchPosition {
  const match = /^(\d{1,16})\.(\d{1,16})\.(\d{1,16})\.(\d{1,16})$/.exec(id);
  const [epoch = 0, sequence = 0, revision = 0, eventSequence = 0] = match?.slice(1).map(Number) ?? [];
  if (match === null || ![epoch, sequence, revision, eventSequence].every(Number.isSafeInteger)) {
    throw invalidRequest("Last-Event-ID is not a position of this stream");
  }
  return { epoch, sequence, revision, eventSequence };
}
