import { BerthError } from "@berth/proto";
import { clientSource } from "@berth/proto/rpc";

/**
 * Maximum number of unknown tokens from one source within the window. People and scripts make far fewer mistakes, and a
 * token has 128 random bits.
 */
export const MAX_UNKNOWN_TOKENS = 30;

/** Time after which an unknown token no longer counts. */
const WINDOW_MS = 60_000;

/** Maximum number of tracked sources, so that callers who keep changing their address cannot exhaust the memory. */
const MAX_SOURCES = 4_096;

interface Window {
  readonly startedMs: number;
  readonly count: number;
}

/** Counts the unknown join tokens of each source, and refuses further tokens of a source that presents many. */
export class UnknownTokens {
  readonly #windows = new Map<string, Window>();

  /**
   * Checks whether a client may present a token, regardless of the token itself: otherwise, the error would reveal
   * whether the token exists.
   *
   * @param client "address:port"
   * @throws BerthError BERTH_LIMIT_EXCEEDED
   */
  requireAllowed(client: string, nowMs: number): void {
    const source = clientSource(client);
    if (this.#countOf(source, nowMs) < MAX_UNKNOWN_TOKENS) return;
    throw new BerthError({
      code: "BERTH_LIMIT_EXCEEDED",
      message: `too many unknown join tokens from ${source}; wait a minute`,
    });
  }

  /** Counts a token that does not exist. */
  add(client: string, nowMs: number): void {
    const source = clientSource(client);
    const count = this.#countOf(source, nowMs) + 1;
    const startedMs = count === 1 ? nowMs : (this.#windows.get(source)?.startedMs ?? nowMs);
    this.#windows.delete(source);
    const [oldest] = this.#windows.keys();
    if (oldest !== undefined && this.#windows.size >= MAX_SOURCES) this.#windows.delete(oldest);
    this.#windows.set(source, { startedMs, count });
  }

  #countOf(source: string, nowMs: number): number {
    const window = this.#windows.get(source);
    return window === undefined || nowMs - window.startedMs >= WINDOW_MS ? 0 : window.count;
  }
}
