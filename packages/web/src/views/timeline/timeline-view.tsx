import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import type { ReceivedEvent } from "../../core/cluster/event-log.js";
import { eventMessage, eventSubject, eventText } from "../../core/model/event.js";
import { formatTime } from "../../format/format.js";
import { LiveMap } from "../map/live-map.js";
import { DataTable } from "../shared/data-table.js";
import { Section } from "../shared/details.js";
import { ReplayControl } from "./replay-control.js";

/** Maximum number of events in the table, which renders all of its rows at each update. */
const MAX_ROWS = 300;

/** Events, and the map at any time of the last hour. */
export function TimelineView(): JSX.Element {
  void cluster.revision.value;
  const atMs = cluster.replayAtMs.value;
  const onlyWarnings = useSignal(false);
  const events = cluster.events.filter(
    ({ isWarning, timeMs }) => (isWarning || !onlyWarnings.value) && (atMs === undefined || timeMs <= atMs),
  );
  return (
    <>
      <h1>Timeline</h1>
      <ReplayControl />
      <LiveMap filter="" />
      <Section title="Events">
        <label>
          <input
            type="checkbox"
            checked={onlyWarnings.value}
            onChange={({ currentTarget }) => (onlyWarnings.value = currentTarget.checked)}
          />{" "}
          Problems only
        </label>
        {cluster.areEventsMissing.value && (
          <p class="warning">Some events are missing: no leader has kept them. The map is complete.</p>
        )}
        <EventTable events={events} />
      </Section>
    </>
  );
}

function EventTable({ events }: { readonly events: readonly ReceivedEvent[] }): JSX.Element {
  return (
    <DataTable
      caption="Events, newest first"
      rows={events.slice(-MAX_ROWS).reverse()}
      keyOf={({ epoch, sequence, timeMs, reason, taskId }) =>
        `${epoch}/${sequence}/${timeMs}/${reason}/${taskId}`
      }
      empty="No events."
      columns={[
        {
          title: "Time",
          cell: ({ timeMs, receivedAtMs }) => (
            <button
              type="button"
              class="link"
              title="Show the map at this time"
              onClick={() => showAt(receivedAtMs)}
            >
              {formatTime(timeMs)}
            </button>
          ),
        },
        {
          title: "Event",
          cell: (event) => <span class={event.isWarning ? "warning" : ""}>{eventText(event)}</span>,
        },
        { title: "Subject", cell: eventSubject },
        { title: "Reason", cell: eventMessage },
      ]}
    />
  );
}

/** Shows the map at a time, or at the earliest time to which the history reaches back. */
function showAt(timeMs: number): void {
  const startMs = cluster.history.startMs;
  if (startMs === undefined) return;
  cluster.replayAtMs.value = Math.max(startMs, timeMs);
}
