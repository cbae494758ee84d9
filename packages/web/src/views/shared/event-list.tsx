import type { JSX } from "preact";
import { type ClusterEvent, eventMessage, eventSubject, eventText } from "../../core/model/event.js";
import { formatTime } from "../../format/format.js";

export interface EventListProps {
  /** The events, oldest first. */
  readonly events: readonly ClusterEvent[];
  /** Maximum number of events that are shown, from the newest on. */
  readonly limit: number;
  /** Shown when there are no events. */
  readonly empty?: string;
}

/** A list of events, newest first. */
export function EventList({ events, limit, empty = "No events." }: EventListProps): JSX.Element {
  if (events.length === 0) return <p class="empty">{empty}</p>;
  return (
    <ol class="events">
      {events
        .slice(-limit)
        .reverse()
        .map((event) => (
          <li
            key={`${event.epoch}/${event.sequence}/${event.timeMs}/${event.reason}/${event.taskId}`}
            class={event.isWarning ? "warning" : ""}
          >
            <time>{formatTime(event.timeMs)}</time>{" "}
            {[eventText(event), eventSubject(event), eventMessage(event)].filter(Boolean).join(" · ")}
          </li>
        ))}
    </ol>
  );
}
