import { useComputed } from "@preact/signals";
import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import { formatDuration, formatTime } from "../../format/format.js";
import { EventTrack } from "./event-track.js";

/** An arrow key moves the replay by this much. */
const STEP_MS = 1_000;

/** Selects the time that the map shows. */
export function ReplayControl(): JSX.Element {
  const atMs = cluster.replayAtMs.value;
  const isLive = atMs === undefined;
  const range = useComputed(() => {
    void cluster.revision.value;
    const endMs = cluster.now();
    return { startMs: Math.min(cluster.history.startMs ?? endMs, endMs), endMs };
  });
  const { startMs, endMs } = range.value;
  const lengthMs = Math.ceil((endMs - startMs) / STEP_MS) * STEP_MS;
  const shownMs = atMs ?? endMs;
  const text = isLive ? "now" : `${formatTime(shownMs)}, ${formatDuration(endMs - shownMs)} ago`;
  return (
    <div class="timeline-control">
      <label for="replay">Show the map at</label>
      <div class="replay">
        <EventTrack range={{ startMs: endMs - lengthMs, endMs }} />
        <input
          id="replay"
          type="range"
          min={-lengthMs}
          max={0}
          step={STEP_MS}
          value={shownMs - endMs}
          aria-valuetext={text}
          onInput={({ currentTarget }) => {
            const agoMs = -currentTarget.valueAsNumber;
            cluster.replayAtMs.value = agoMs <= 0 ? undefined : Math.max(startMs, endMs - agoMs);
          }}
        />
      </div>
      <output for="replay">{text}</output>
      <button type="button" aria-disabled={isLive} onClick={() => (cluster.replayAtMs.value = undefined)}>
        Back to now
      </button>
    </div>
  );
}

/** Says that the web UI shows the past. */
export function ReplayBanner(): JSX.Element | null {
  const atMs = cluster.replayAtMs.value;
  if (atMs === undefined) return null;
  return (
    <p class="replay-banner" role="status">
      Replay: the cluster as it was at {formatTime(atMs)}.{" "}
      <button type="button" onClick={() => (cluster.replayAtMs.value = undefined)}>
        Back to now
      </button>
    </p>
  );
}
