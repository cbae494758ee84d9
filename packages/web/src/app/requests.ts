import { signal } from "@preact/signals";
import { isObject, readList, readNumber, readText } from "../core/json.js";
import { RateHistory } from "../core/traffic/rate-history.js";

/** The requests of a load generator, such as `npm run demo -- --web`. */
export interface RequestReport {
  readonly sent: number;
  readonly failed: number;
  readonly medianMs: number;
  /** What the load generator has done and seen, oldest first. */
  readonly timeline: readonly TimelineEntry[];
}

export interface TimelineEntry {
  /** "1.04 s" after the start. Empty when it did not happen in time. */
  readonly time: string;
  readonly text: string;
}

const URL = "requests.json";
/** Interval between two reads of the report. */
const INTERVAL_MS = 500;

/** Undefined when there is no load generator. */
export const requests = signal<RequestReport | undefined>(undefined);

/** The requests per second since the presentation was opened. */
export const requestRates = new RateHistory();

/** Polls the report, if there is one, until the returned function is called. */
export function followRequests(): () => void {
  const ended = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const read = async (): Promise<void> => {
    const report = await fetchReport(ended.signal);
    if (ended.signal.aborted) return;
    if (report !== undefined) {
      requestRates.add({ atMs: performance.now(), count: report.sent, failed: report.failed });
      requests.value = report;
    }
    if (requests.value !== undefined) timer = setTimeout(read, INTERVAL_MS);
  };
  void read();
  return () => {
    ended.abort();
    clearTimeout(timer);
  };
}

/** Servers answer 404 when there is no load generator. */
async function fetchReport(abortSignal: AbortSignal): Promise<RequestReport | undefined> {
  try {
    const response = await fetch(URL, { cache: "no-store", signal: abortSignal });
    const json: unknown = response.ok ? await response.json() : undefined;
    if (!isObject(json)) return undefined;
    return {
      sent: readNumber(json, "sent"),
      failed: readNumber(json, "failed"),
      medianMs: readNumber(json, "medianMs"),
      timeline: readList(json, "timeline").map((entry) => ({
        time: readText(entry, "time"),
        text: readText(entry, "text"),
      })),
    };
  } catch {
    return undefined;
  }
}
