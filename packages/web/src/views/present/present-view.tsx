import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { cluster } from "../../app/cluster.js";
import {
  followRequests,
  type RequestReport,
  requestRates,
  requests,
  type TimelineEntry,
} from "../../app/requests.js";
import { routePath } from "../../core/route/route.js";
import { LiveMap } from "../map/live-map.js";
import { ClusterCounts } from "../map/map-toolbar.js";
import { RecentMoves } from "../map/recent-moves.js";
import { ConnectionStatus } from "../page-header.js";
import { EventList } from "../shared/event-list.js";
import { RateChart } from "../shared/rate-chart.js";
import { ReplayControl } from "../timeline/replay-control.js";

/** Maximum number of events in the list. */
const SHOWN_EVENTS = 10;

/** The map with large texts, for an audience. */
export function PresentView(): JSX.Element {
  useEffect(followRequests, []);
  return (
    <main class="present" tabIndex={-1}>
      <header class="toolbar">
        <h1 class="brand">
          <img src="icon.svg" alt="" />
          berth
        </h1>
        <ClusterCounts />
        {requests.value === undefined ? <Connections /> : <Requests report={requests.value} />}
        <div class="header-end">
          <ConnectionStatus />
          <a class="button" href={routePath({ view: "map" })}>
            Leave presentation
          </a>
        </div>
      </header>
      {requests.value !== undefined && (
        <>
          <Timeline entries={requests.value.timeline} />
          <RateChart subject="Requests" rates={requestRates.rates} />
        </>
      )}
      <LiveMap filter="" />
      <ReplayControl />
      <div class="columns">
        <RecentMoves />
        <LatestEvents />
      </div>
    </main>
  );
}

/** What a load generator has sent, and how many of its requests have failed. */
function Requests({ report: { sent, failed, medianMs } }: { readonly report: RequestReport }): JSX.Element {
  return (
    <p class="counts">
      <strong>{sent}</strong> requests sent, <strong class={failed > 0 ? "error" : ""}>{failed}</strong>{" "}
      failed, median {medianMs.toFixed(1)} ms
    </p>
  );
}

/** What the load generator has done and seen, such as a power cut. */
function Timeline({ entries }: { readonly entries: readonly TimelineEntry[] }): JSX.Element | null {
  if (entries.length === 0) return null;
  return (
    <ol class="timeline" aria-label="Time line" aria-live="polite">
      {entries.map(({ time, text }) => (
        <li key={text}>
          <strong>{time}</strong> {text}
        </li>
      ))}
    </ol>
  );
}

/** Connections to all services since the web UI was opened. */
function Connections(): JSX.Element {
  void cluster.revision.value;
  const { connections, failed, perSecond } = cluster.traffic.sum();
  return (
    <p class="counts">
      <strong>{connections}</strong> connections ({perSecond.toFixed(0)}/s),{" "}
      <strong class={failed > 0 ? "error" : ""}>{failed}</strong> failed
    </p>
  );
}

function LatestEvents(): JSX.Element {
  void cluster.revision.value;
  const atMs = cluster.replayAtMs.value;
  const events = cluster.events.filter(({ timeMs }) => atMs === undefined || timeMs <= atMs);
  return (
    <section class="part" aria-labelledby="events-title">
      <h2 id="events-title">Events</h2>
      <EventList events={events} limit={SHOWN_EVENTS} />
    </section>
  );
}
