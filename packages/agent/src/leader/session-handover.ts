import type { SessionCall } from "./session-call.js";

/** Delay before the next attempt when a call for the next session has failed. */
const RETRY_MS = 5_000;
/**
 * Timeout for the response to the call for the next session. The leader sends it at about the time when it ends the
 * current one.
 */
const RESPONSE_TIMEOUT_MS = 500;

/** Notifies of renewals of this host's certificate. */
export interface Renewals {
  /** Calls the listener after each renewal. Returns a function that ends this. */
  subscribe(listener: () => void): () => void;
}

export interface SessionHandoverOptions {
  /** Undefined if connections have no certificates. */
  readonly renewals: Renewals | undefined;
  /** Returns whether the leader has accepted the current session. */
  readonly isWelcomed: () => boolean;
  /** Opens a call, which uses the current certificate. */
  readonly open: () => SessionCall;
}

/**
 * Replaces a session by a session with the renewed certificate, long before the old certificate expires and ends it.
 *
 * The call for the next session is opened while the current session continues. Both belong to the same agent process, so
 * the leader replaces the current session by the next one in one step, and ends the current one. The node stays connected
 * throughout.
 */
export class SessionHandover {
  readonly #options: SessionHandoverOptions;
  readonly #unsubscribe: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #next: SessionCall | undefined;

  constructor(options: SessionHandoverOptions) {
    this.#options = options;
    this.#unsubscribe = options.renewals?.subscribe(() => this.#schedule(0));
  }

  /** Returns the call for the next session once the current one has ended, or undefined if none replaces it. */
  async take(): Promise<SessionCall | undefined> {
    this.#unsubscribe?.();
    clearTimeout(this.#timer);
    const next = this.#next;
    if (next === undefined || (await next.waitForFirstResponse(RESPONSE_TIMEOUT_MS))) return next;
    next.abort(new Error("the server did not accept the next session"));
    return undefined;
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), delayMs);
  }

  #open(): void {
    const { isWelcomed, open } = this.#options;
    // A session that is not accepted yet is not replaced: the leader could accept it after the next session.
    if (isWelcomed() && (this.#next === undefined || this.#next.hasFailed)) this.#next = open();
    this.#schedule(RETRY_MS);
  }
}
