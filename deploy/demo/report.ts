import { assertNever } from "@berth/proto";
import { summarize, type TrafficSummary } from "../lab/http-traffic.js";
import type { Failover, Moment } from "./failover.js";
import { bar, type Screen, WIDTH } from "./screen.js";

const BAR_WIDTH = 36;

/** One line of the time line, printed when it happens. `sinceCutMs` undefined: it did not happen in time. */
export function printMoment(screen: Screen, moment: Moment, sinceCutMs: number | undefined): void {
  const at = sinceCutMs === undefined ? "—" : `${(sinceCutMs / 1_000).toFixed(2)} s`;
  screen.line(`${at.padStart(9)}  ${textOf(screen, moment, sinceCutMs !== undefined)}`);
}

function textOf(screen: Screen, moment: Moment, happened: boolean): string {
  switch (moment.kind) {
    case "cut":
      return `${screen.paint("red", "✂")} power of ${moment.host} cut: ${moment.replicas} replicas go dark with it`;
    case "detected":
      return happened
        ? `${screen.paint("yellow", "●")} detected: node ${moment.host} is down`
        : screen.paint("red", "the control plane did not notice");
    case "replaced":
      return happened
        ? `${screen.paint("green", "✓")} replaced: all replicas run again, on the hosts that are left`
        : screen.paint("red", "its replicas were not replaced");
    default:
      return assertNever(moment);
  }
}

/** What became of the requests, and who answered them. */
export function printRequests(
  screen: Screen,
  { outcomes, startedAtMs, cutAtMs, endedAtMs, replacedAtMs }: Failover,
): void {
  const healedAtMs = replacedAtMs ?? endedAtMs;
  const spans: readonly (readonly [string, number, number])[] = [
    ["before the cut", startedAtMs, cutAtMs],
    ["cut → replaced", cutAtMs, healedAtMs],
    ["afterwards", healedAtMs, Number.POSITIVE_INFINITY],
  ];
  screen.line(screen.paint("dim", `  ${"requests".padEnd(16)}    sent  failed    median     worst`));
  for (const [name, fromMs, toMs] of spans) printSpan(screen, name, summarize(outcomes, fromMs, toMs));
  printSpan(screen, "in all", summarize(outcomes));
  for (const [why, times] of summarize(outcomes).reasons.slice(0, 3))
    screen.line(`    ${times} × ${why}`.slice(0, WIDTH));
  screen.line();
  screen.line(screen.paint("dim", "  who answered, from the cut on"));
  printSpread(screen, summarize(outcomes, cutAtMs));
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
