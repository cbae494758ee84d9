import type { LogLine, StreamLogsRequest } from "@berth/proto";

/** Nodes' clocks differ, and lines of one moment come in any order: from so long before the last line on is read again. */
const OVERLAP_MS = 5_000;

const NS_PER_MS = 1_000_000n;

/** How far a followed log has been read, so that it goes on with another leader where it broke off. */
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

  /** What to ask for, the first time and each time after. */
  next(): StreamLogsRequest {
    if (this.#isFirst) {
      this.#isFirst = false;
      return this.#request;
    }
    this.#overlap = new Map(this.#readTo);
    const sinceMs = this.#newestMs === undefined ? this.#fromStart() : this.#newestMs - OVERLAP_MS;
    return { ...this.#request, tail: -1, sinceMs };
  }

  /** False for a line that was there before. */
  isNew({ taskId, entry: chunk }: LogLine): boolean {
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
