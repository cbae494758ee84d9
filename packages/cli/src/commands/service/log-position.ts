import type { LogLine, StreamLogsRequest } from "@berth/proto";

/**
 * How far before the newest line a resumed log starts. Covers the clock differences of nodes and lines that arrive out of
 * order.
 */
const OVERLAP_MS = 5_000;

const NS_PER_MS = 1_000_000n;

/**
 * Tracks which lines of a followed log the client has read. After a leader change, `berth service logs -f` resumes with
 * the first line that it has not read.
 */
export class LogPosition {
  readonly #request: StreamLogsRequest;
  readonly #startedMs: number;
  /** Time of the last line read from each task, in ns, by task ID. */
  readonly #lastTimes = new Map<string, bigint>();
  /**
   * Time of the last line of each task that earlier streams returned, in ns, by task ID. The current stream repeats the
   * lines up to this time.
   */
  #resumedAfter: ReadonlyMap<string, bigint> = new Map();
  #newestMs: number | undefined;
  #isFirst = true;

  constructor(request: StreamLogsRequest, startedMs: number) {
    this.#request = request;
    this.#startedMs = startedMs;
  }

  /** Returns the original request on the first call. Later calls return a request that resumes the log. */
  nextRequest(): StreamLogsRequest {
    if (this.#isFirst) {
      this.#isFirst = false;
      return this.#request;
    }
    this.#resumedAfter = new Map(this.#lastTimes);
    const sinceMs = this.#newestMs === undefined ? this.#initialSinceMs() : this.#newestMs - OVERLAP_MS;
    return { ...this.#request, tail: -1, sinceMs };
  }

  /**
   * Records a line as read. Returns false when an earlier stream has returned the line already. A line without a time is
   * always new.
   */
  recordLine({ taskId, entry }: LogLine): boolean {
    const timeText = entry?.timeNs ?? "";
    if (!/^\d+$/.test(timeText)) return true;
    const timeNs = BigInt(timeText);
    if (timeNs <= (this.#resumedAfter.get(taskId) ?? -1n)) return false;
    this.#lastTimes.set(taskId, timeNs);
    this.#newestMs = Math.max(this.#newestMs ?? 0, Number(timeNs / NS_PER_MS));
    return true;
  }

  /** Returns the start of the resumed log when no line has been read yet. */
  #initialSinceMs(): number {
    return this.#request.tail < 0 ? this.#request.sinceMs : this.#startedMs;
  }
}
