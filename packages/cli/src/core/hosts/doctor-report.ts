/** A finding of `berth doctor` that needs attention. */
export interface DoctorFinding {
  readonly verdict: "warning" | "failed";
  /** "Docker: version 19.03 is too old; upgrade to Docker 20.10 or later" */
  readonly text: string;
}

/** Returns the warnings and failures of `berth doctor -o json`. Undefined if the text is no report. */
export function parseDoctorReport(text: string): readonly DoctorFinding[] | undefined {
  let report: unknown;
  try {
    report = JSON.parse(text);
  } catch {
    return undefined;
  }
  const findings = fieldOf(report, "findings");
  if (!Array.isArray(findings)) return undefined;
  return findings.flatMap((finding): readonly DoctorFinding[] => {
    const verdict = fieldOf(finding, "verdict");
    if (verdict !== "warning" && verdict !== "failed") return [];
    const advice = textOf(finding, "advice").replace(/\.$/, "");
    const message = `${textOf(finding, "subject")}: ${textOf(finding, "message")}`;
    return [{ verdict, text: advice === "" ? message : `${message}; ${advice}` }];
  });
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

function textOf(value: unknown, name: string): string {
  const field = fieldOf(value, name);
  return typeof field === "string" ? field : "";
}
