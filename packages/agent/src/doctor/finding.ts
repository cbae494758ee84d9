/** What a check found. `failed`: something of berth does not work here; `warning`: it works, but not as well. */
export type Verdict = "ok" | "warning" | "failed";

export interface Finding {
  /** What was looked at: "nftables", "peer h2". */
  readonly subject: string;
  readonly verdict: Verdict;
  /** What was found, for a person. */
  readonly message: string;
  /** What to do about it; "" when there is nothing to do. */
  readonly advice: string;
}

export function ok(subject: string, message: string): Finding {
  return { subject, verdict: "ok", message, advice: "" };
}

export function warning(subject: string, message: string, advice: string): Finding {
  return { subject, verdict: "warning", message, advice };
}

export function failed(subject: string, message: string, advice: string): Finding {
  return { subject, verdict: "failed", message, advice };
}
