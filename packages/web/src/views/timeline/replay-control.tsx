import { useComputed } from "@preact/signals";
import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import { formatDuration, formatTime } from "../../format/format.js";

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
  const shownMs = atMs ?? endMs;
  const text = isLive ? "now" : `${formatTime(shownMs)}, ${formatDuration(endMs - shownMs)} ago`;
  return (
    <div class="timeline-control">
      <label for="replay">Show the map at</label>
      <input
        id="replay"
        type="range"
        min={startMs}
        max={endMs}
        step={100}
        value={shownMs}
        aria-valuetext={text}
        onInput={({ currentTarget }) => {
          const value = currentTarget.valueAsNumber;
          cluster.replayAtMs.value = value >= endMs ? undefined : value;
        }}
      />
      <output for="replay">{text}</output>
      <button type="button" disabled={isLive} onClick={() => (cluster.replayAtMs.value = undefined)}>
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
