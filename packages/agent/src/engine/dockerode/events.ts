import { readField, readString } from "../../core/docker/json.js";
import { TASK_LABEL } from "../../core/docker/labels.js";
import type { ContainerEvent } from "../../core/tasks/container-event.js";
import type { ContainerOwner } from "../container-owner.js";
import type { EventsOptions } from "../engine.js";
import type { EngineClient } from "./client.js";
import { readNdjson } from "./ndjson.js";

const EVENT_KINDS: Readonly<Record<string, ContainerEvent["kind"]>> = {
  start: "started",
  die: "ended",
  health_status: "health",
  destroy: "removed",
  kill: "signaled",
  pause: "changed",
  unpause: "changed",
};

/** Filters in the daemon: a healthcheck causes three other events for each probe. */
const EVENT_FILTERS = JSON.stringify({
  type: ["container"],
  label: [TASK_LABEL],
  event: Object.keys(EVENT_KINDS),
});

const NS_DIGITS = 9;

/** Yields the events of this agent's containers from the daemon's event stream. */
export async function* readEvents(
  client: EngineClient,
  owner: ContainerOwner,
  options: EventsOptions,
): AsyncGenerator<ContainerEvent> {
  const { signal, sinceNs } = options;
  const since = sinceNs === "" ? {} : { since: secondsOf(sinceNs) };
  const request = {
    method: "GET",
    path: "/events",
    query: { filters: EVENT_FILTERS, ...since },
    signal,
  } as const;
  const body = await client.stream(request);
  for await (const json of readNdjson(body)) {
    const event = parseEvent(json, owner);
    if (event !== undefined) yield event;
  }
}

/** Converts "1700000000123456789" to Docker's format "1700000000.123456789". */
function secondsOf(timeNs: string): string {
  return `${timeNs.slice(0, -NS_DIGITS)}.${timeNs.slice(-NS_DIGITS)}`;
}

/** Parses one event. Returns undefined for events that berth does not use, and for other containers. */
export function parseEvent(json: unknown, owner: ContainerOwner): ContainerEvent | undefined {
  // "health_status: healthy"
  const [action = ""] = readString(readField(json, "Action")).split(":");
  const kind = EVENT_KINDS[action];
  const actor = readField(json, "Actor");
  const attributes = readField(actor, "Attributes");
  const taskId = owner.taskIdOf(attributes, readString(readField(attributes, "name")));
  if (kind === undefined || taskId === "") return undefined;
  return {
    kind,
    containerId: readString(readField(actor, "ID")),
    taskId,
    unixSignal: readString(readField(attributes, "signal")),
  };
}
