import { styleText } from "node:util";
import type { Finding, Verdict } from "./check.js";

const MARKS = { ok: "✓", warning: "!", failed: "✗", skipped: "-" } as const satisfies Record<Verdict, string>;
const COLORS = { ok: "green", warning: "yellow", failed: "red", skipped: "gray" } as const;

/** Formats one line for each finding, its advice on a second line, and a summary such as "3 ok, 1 warning". */
export function formatFindings(findings: readonly Finding[], { colors }: { colors: boolean }): string {
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  const formatMark = (verdict: Verdict): string =>
    colors ? styleText(COLORS[verdict], MARKS[verdict], { validateStream: false }) : MARKS[verdict];
  const lines = findings.flatMap(({ subject, verdict, message, advice }) => [
    `${formatMark(verdict)} ${subject.padEnd(width)}  ${message}`,
    ...(advice === "" ? [] : [`${" ".repeat(width + 4)}→ ${advice}`]),
  ]);
  return `${lines.join("\n")}\n\n${formatSummary(findings)}\n`;
}

/** Formats the number of findings of each verdict. Leaves out counts of 0, except the count of `ok`. */
function formatSummary(findings: readonly Finding[]): string {
  const count = (verdict: Verdict): number =>
    findings.filter((finding) => finding.verdict === verdict).length;
  const warnings = count("warning");
  const counts = [
    { value: warnings, unit: warnings === 1 ? "warning" : "warnings" },
    { value: count("failed"), unit: "failed" },
    { value: count("skipped"), unit: "skipped" },
  ];
  const problems = counts.filter(({ value }) => value > 0).map(({ value, unit }) => `${value} ${unit}`);
  return [`${count("ok")} ok`, ...problems].join(", ");
}

/** Returns 1 when a check failed. */
export function exitCodeOf(findings: readonly Finding[]): 0 | 1 {
  return findings.some(({ verdict }) => verdict === "failed") ? 1 : 0;
}
