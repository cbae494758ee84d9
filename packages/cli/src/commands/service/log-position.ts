import type { LogLine, StreamLogsRequest } from "@berth/proto";

/** Logs are read again from this long before the last line, since clocks differ and lines arrive out of order. */
const OVERLAP_MS = 5_000;

const NS_PER_MS = 1_000_000n;

/** Tracks how far a followed log was read, so that it resumes at the same line after a leader change. */
export class LogPosition {
  readonly #request: StreamLogsRequest;
  readonly #startedMs: number;
  readonly #readTo = new Map<string, bigint>();
  #overlap: ReadonlyMap<string, bigint> = new Map();
  #newestMs: number | undefined;
  #isFirst = true;

  constructor(request: StreamLogsRequest, startedMs: number) {
    this.#request = request;
    this.#startedMs = startedMs;
  }

  /** Returns the request for the first or the next stream. */
  nextRequest(): StreamLogsRequest {
    if (this.#isFirst) {
      this.#isFirst = false;
      return this.#request;
    }
    this.#overlap = new Map(this.#readTo);
    const sinceMs = this.#newestMs === undefined ? this.#fromStart() : this.#newestMs - OVERLAP_MS;
    return { ...this.#request, tail: -1, sinceMs };
  }

  /** Returns false for a line that an earlier stream returned already. */
  recordLine({ taskId, entry: chunk }: LogLine): boolean {
    const timeNs = BigInt(/^\d+$/.test(chunk?.timeNs ?? "") ? (chunk?.timeNs ?? "0") : "0");
    if (timeNs <= (this.#overlap.get(taskId) ?? -1n)) return false;
    this.#readTo.set(taskId, timeNs);
    this.#newestMs = Math.max(this.#newestMs ?? 0, Number(timeNs / NS_PER_MS));
    return true;
  }

  #fromStart(): number {
    return this.#request.tail < 0 ? this.#request.sinceMs : this.#startedMs;
  }
}
