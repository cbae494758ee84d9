import { assertNever } from "@berth/proto";
import { summarizeTraffic, type TrafficSummary } from "../lab/http-traffic.js";
import type { Failover, TimelineEvent } from "./failover.js";
import { bar, type Screen, WIDTH } from "./screen.js";

/** Width of the longest bar, in columns. */
const BAR_WIDTH = 36;

/** Prints one line of the timeline. `sinceCutMs` is undefined if the event did not happen before the timeout. */
export function printEvent(screen: Screen, event: TimelineEvent, sinceCutMs: number | undefined): void {
  const happened = sinceCutMs !== undefined;
  const at = happened ? formatSeconds(sinceCutMs) : "—";
  const text = timelineText(event, happened);
  const line = happened ? `${paintSymbol(screen, event)} ${text}` : screen.paint("red", text);
  screen.line(`${at.padStart(9)}  ${line}`);
}

/** Returns a time since the power cut: "1.04 s". */
export function formatSeconds(ms: number): string {
  return `${(ms / 1_000).toFixed(2)} s`;
}

/** Describes an event, or says that it did not happen before the timeout. */
export function timelineText(event: TimelineEvent, happened: boolean): string {
  switch (event.kind) {
    case "cut":
      return `power of ${event.host} cut, with ${event.replicas} replicas on it`;
    case "detected":
      return happened
        ? `detected: node ${event.host} is down`
        : "the control plane did not detect the failure";
    case "replaced":
      return happened
        ? "replaced: all replicas run again, on the remaining hosts"
        : "the replicas were not replaced";
    default:
      return assertNever(event);
  }
}

function paintSymbol(screen: Screen, event: TimelineEvent): string {
  switch (event.kind) {
    case "cut":
      return screen.paint("red", "✂");
    case "detected":
      return screen.paint("yellow", "●");
    case "replaced":
      return screen.paint("green", "✓");
    default:
      return assertNever(event);
  }
}

/** Prints the outcomes of the requests by phase, and how many replies each replica sent after the power cut. */
export function printRequests(
  screen: Screen,
  { outcomes, startedAtMs, cutAtMs, endedAtMs, replacedAtMs }: Failover,
): void {
  const healedAtMs = replacedAtMs ?? endedAtMs;
  const spans: readonly (readonly [string, number, number])[] = [
    ["before", startedAtMs, cutAtMs],
    ["during failover", cutAtMs, healedAtMs],
    ["after", healedAtMs, Number.POSITIVE_INFINITY],
  ];
  screen.line(screen.paint("dim", `  ${"requests".padEnd(16)}    sent  failed    median     worst`));
  for (const [name, fromMs, toMs] of spans) printSpan(screen, name, summarizeTraffic(outcomes, fromMs, toMs));
  printSpan(screen, "total", summarizeTraffic(outcomes));
  for (const [reason, count] of summarizeTraffic(outcomes).reasons.slice(0, 3)) {
    screen.line(`    ${count} × ${reason}`.slice(0, WIDTH));
  }
  screen.line();
  screen.line(screen.paint("dim", "  replies by replica since the power cut"));
  printSpread(screen, summarizeTraffic(outcomes, cutAtMs));
}

function printSpan(screen: Screen, name: string, { sent, failed, medianMs, worstMs }: TrafficSummary): void {
  const failedText = String(failed).padStart(8);
  screen.line(
    `  ${name.padEnd(16)}${String(sent).padStart(8)}${screen.paint(failed === 0 ? "green" : "red", failedText)}` +
      `${`${medianMs.toFixed(1)} ms`.padStart(10)}${`${worstMs.toFixed(0)} ms`.padStart(10)}`,
  );
}

function printSpread(screen: Screen, { perReplica }: TrafficSummary): void {
  const most = Math.max(1, ...perReplica.map(([, count]) => count));
  for (const [replica, count] of perReplica) {
    const cells = screen.paint("cyan", bar(count / most, BAR_WIDTH));
    screen.line(`  ${replica.padEnd(26)}${String(count).padStart(6)}  ${cells}`);
  }
}
