import { styleText } from "node:util";
import type { Finding, Verdict } from "./finding.js";

const MARKS = { ok: "✓", warning: "!", failed: "✗" } as const;
const COLOURS = { ok: "green", warning: "yellow", failed: "red" } as const;

/** A line for each finding, what to do below it, and how many are not well. */
export function formatFindings(findings: readonly Finding[], { colours }: { colours: boolean }): string {
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  const mark = (verdict: Verdict): string =>
    colours ? styleText(COLOURS[verdict], MARKS[verdict], { validateStream: false }) : MARKS[verdict];
  const lines = findings.flatMap(({ subject, verdict, message, advice }) => [
    `${mark(verdict)} ${subject.padEnd(width)}  ${message}`,
    ...(advice === "" ? [] : [`${" ".repeat(width + 4)}→ ${advice}`]),
  ]);
  return `${lines.join("\n")}\n\n${summaryOf(findings)}\n`;
}

function summaryOf(findings: readonly Finding[]): string {
  const count = (verdict: Verdict): number => findings.filter((each) => each.verdict === verdict).length;
  return `${count("ok")} well, ${count("warning")} could be better, ${count("failed")} failed`;
}

/** 1: something does not work. */
export function exitCodeOf(findings: readonly Finding[]): 0 | 1 {
  return findings.some(({ verdict }) => verdict === "failed") ? 1 : 0;
}
