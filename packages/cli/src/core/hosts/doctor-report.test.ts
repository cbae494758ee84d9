import { expect, test } from "vitest";
import { parseDoctorReport } from "./doctor-report.js";

test("parseDoctorReport() returns warnings and failures with their advice", () => {
  const findings = [
    { subject: "Docker", verdict: "ok", message: "28.1", advice: "" },
    { subject: "clock", verdict: "failed", message: "40.00 s behind", advice: "Synchronize the clocks." },
    { subject: "node", verdict: "warning", message: "slow disk", advice: "" },
  ];
  expect(parseDoctorReport(JSON.stringify({ findings }))).toEqual([
    { verdict: "failed", text: "clock: 40.00 s behind; Synchronize the clocks" },
    { verdict: "warning", text: "node: slow disk" },
  ]);
});

test.each(["", "Segmentation fault", "{}", "[]", '{"findings":1}'])(
  "parseDoctorReport() returns undefined for %j",
  (text) => {
    expect(parseDoctorReport(text)).toBeUndefined();
  },
);
