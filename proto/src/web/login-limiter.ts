/** Maximum number of login attempts per window from one address. */
const MAX_PER_ADDRESS = 10;

/** Maximum number of login attempts per window from all addresses. */
const MAX_TOTAL = 60;

/** Window in which attempts are counted. */
const WINDOW_MS = 60_000;

/** Limits login attempts, although codes are too long to be guessed: each attempt is a call to the leader. */
export class LoginLimiter {
  /** Times of the attempts within the window, the oldest first. */
  #attempts: { readonly address: string; readonly atMs: number }[] = [];

  /** Counts an attempt. Returns whether it is allowed. Refused attempts do not count. */
  allow(address: string, nowMs: number): boolean {
    this.#attempts = this.#attempts.filter(({ atMs }) => nowMs - atMs < WINDOW_MS);
    const ofAddress = this.#attempts.filter((attempt) => attempt.address === address).length;
    if (ofAddress >= MAX_PER_ADDRESS || this.#attempts.length >= MAX_TOTAL) return false;
    this.#attempts.push({ address, atMs: nowMs });
    return true;
  }
}
