/**
 * Duration of a series of refusals after which an endpoint does not listen on the port. A task that has ended leaves the
 * endpoints sooner: within 0.5 s, or after the takeover of another leader, which takes up to 3 s.
 */
const NOT_LISTENING_AFTER_MS = 5_000;
/** Maximum time between two refusals of a series. Refusals that are further apart have different causes. */
const MAX_PAUSE_MS = 10_000;

/** A series of refused attempts to connect to one endpoint. */
export interface Refusals {
  readonly firstMs: number;
  readonly lastMs: number;
}

/** Returns the series with another refusal. */
export function addRefusal(refusals: Refusals | undefined, nowMs: number): Refusals {
  const isContinued = refusals !== undefined && nowMs - refusals.lastMs <= MAX_PAUSE_MS;
  return { firstMs: isContinued ? refusals.firstMs : nowMs, lastMs: nowMs };
}

/** Returns whether the endpoint does not listen, although its host responds. */
export function isNotListening(refusals: Refusals | undefined, nowMs: number): boolean {
  if (refusals === undefined || nowMs - refusals.lastMs > MAX_PAUSE_MS) return false;
  return refusals.lastMs - refusals.firstMs >= NOT_LISTENING_AFTER_MS;
}
