import type { LogLine, StreamLogsRequest } from "@berth/proto";

/** A resumed log starts this long before the last line, since clocks differ and lines arrive out of order. */
const OVERLAP_MS = 5_000;

const NS_PER_MS = 1_000_000n;

/**
 * Tracks which lines of a followed log were read, so that `berth logs -f` resumes at the same line after a leader
 * change.
 */
export class LogPosition {
  readonly #request: StreamLogsRequest;
  readonly #startedMs: number;
  /** Time of the last line that was read of each task. */
  readonly #lastTimes = new Map<string, bigint>();
  /** The last times when the current stream was opened. Earlier lines of it are repeats. */
  #resumedAfter: ReadonlyMap<string, bigint> = new Map();
  #newestMs: number | undefined;
  #isFirst = true;

  constructor(request: StreamLogsRequest, startedMs: number) {
    this.#request = request;
    this.#startedMs = startedMs;
  }

  /** Returns the request for the first stream, and on later calls the request that resumes it. */
  nextRequest(): StreamLogsRequest {
    if (this.#isFirst) {
      this.#isFirst = false;
      return this.#request;
    }
    this.#resumedAfter = new Map(this.#lastTimes);
    const sinceMs = this.#newestMs === undefined ? this.#initialSinceMs() : this.#newestMs - OVERLAP_MS;
    return { ...this.#request, tail: -1, sinceMs };
  }

  /** Records a line as read. Returns false if an earlier stream has already returned the line. */
  recordLine({ taskId, entry }: LogLine): boolean {
    const timeText = entry?.timeNs ?? "";
    const timeNs = /^\d+$/.test(timeText) ? BigInt(timeText) : 0n;
    if (timeNs <= (this.#resumedAfter.get(taskId) ?? -1n)) return false;
    this.#lastTimes.set(taskId, timeNs);
    this.#newestMs = Math.max(this.#newestMs ?? 0, Number(timeNs / NS_PER_MS));
    return true;
  }

  /** Returns where to resume a log of which no line has been read. */
  #initialSinceMs(): number {
    return this.#request.tail < 0 ? this.#request.sinceMs : this.#startedMs;
  }
}
