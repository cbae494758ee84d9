import { BerthError } from "../errors.js";
import { type Caller, callerKey, describeCaller } from "./caller.js";
import { MAX_STREAMS } from "./limits.js";

/**
 * Maximum number of calls that one caller may have open on a server, on all connections together. A follower forwards
 * the calls of all users over one connection; one user may use at most half of its streams. Servers limit the calls
 * that they make themselves.
 */
export const MAX_OPEN_CALLS: Readonly<Record<Caller["kind"], number>> = {
  anonymous: 64,
  user: MAX_STREAMS / 2,
  node: MAX_STREAMS,
  server: Number.POSITIVE_INFINITY,
};

/** Limits the open calls of each caller of a server. */
export class CallLimiter {
  readonly #counts = new Map<string, number>();

  /**
   * Counts a call. Returns a function to call exactly once, when the call ends.
   *
   * @param client "address:port"
   * @throws BerthError BERTH_LIMIT_EXCEEDED
   */
  open(caller: Caller, client: string): () => void {
    const key = callerKey(caller, client);
    const count = this.#counts.get(key) ?? 0;
    if (count >= MAX_OPEN_CALLS[caller.kind]) throw tooManyCallsError(caller);
    this.#counts.set(key, count + 1);
    return () => this.#close(key);
  }

  #close(key: string): void {
    const count = (this.#counts.get(key) ?? 1) - 1;
    if (count === 0) {
      this.#counts.delete(key);
    } else {
      this.#counts.set(key, count);
    }
  }
}

function tooManyCallsError(caller: Caller): BerthError {
  return new BerthError({
    code: "BERTH_LIMIT_EXCEEDED",
    message: `call rejected: ${describeCaller(caller)} has ${MAX_OPEN_CALLS[caller.kind]} open calls on this server, which is the limit; end some of them`,
  });
}
