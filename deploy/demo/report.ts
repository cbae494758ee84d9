import type { Failover } from "./failover.js";
import { bar, type Screen, WIDTH } from "./screen.js";
import { summarise, type TrafficSummary } from "./summary.js";

const BAR_WIDTH = 36;

/** The time line of a power cut, and what its users noticed. */
export function printFailover(screen: Screen, failover: Failover, victim: string): void {
  printTimeline(screen, failover, victim);
  screen.line();
  printRequests(screen, failover);
}

function printTimeline(screen: Screen, failover: Failover, victim: string): void {
  const { cutAtMs, detectedAtMs, replacedAtMs, lostReplicas } = failover;
  const at = (ms: number): string => `${((ms - cutAtMs) / 1_000).toFixed(2).padStart(7)} s  `;
  screen.line(
    `${at(cutAtMs)}${screen.paint("red", "✂")} power of ${victim} cut; ${lostReplicas} replicas went with it`,
  );
  screen.line(
    detectedAtMs === undefined
      ? `      —    ${screen.paint("red", "the control plane did not notice")}`
      : `${at(detectedAtMs)}${screen.paint("yellow", "●")} detected: node ${victim} is down`,
  );
  screen.line(
    replacedAtMs === undefined
      ? `      —    ${screen.paint("red", "its replicas were not replaced")}`
      : `${at(replacedAtMs)}${screen.paint("green", "✓")} replaced: all replicas run again, on the hosts that are left`,
  );
}

function printRequests(
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
  for (const [name, fromMs, toMs] of spans) printSpan(screen, name, summarise(outcomes, fromMs, toMs));
  printSpan(screen, "in all", summarise(outcomes));
  for (const [why, times] of summarise(outcomes).reasons.slice(0, 3))
    screen.line(`    ${times} × ${why}`.slice(0, WIDTH));
  screen.line();
  screen.line(screen.paint("dim", "  who answered, from the cut on"));
  printSpread(screen, summarise(outcomes, cutAtMs));
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
