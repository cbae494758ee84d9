/**
 * Duration of the first ejection: long enough to spare most connections a failed attempt, and short enough to retry a
 * restarted endpoint soon.
 */
const FIRST_EJECTION_MS = 250;
/**
 * Maximum duration of an ejection. Until the leader removes a dead endpoint, it costs one failed attempt in this time.
 */
const LONGEST_EJECTION_MS = 8_000;
/**
 * Maximum time for which other connections avoid an endpoint that a connection probes. The attempt to connect ends
 * earlier.
 */
const PROBE_MS = 500;
/** Maximum number of counted failures. Keeps the exponential back-off within the range of a number. */
const MAX_FAILURES = 16;

/** The health of one endpoint, derived from this host's own connection attempts (passive health check). */
export interface EndpointHealth {
  /** Consecutive failures, counted once per ejection: a burst of failures counts as one. */
  readonly failures: number;
  readonly ejectedUntilMs: number;
  /** Whether a connection is testing that the endpoint is back. */
  readonly isProbing: boolean;
}

export const HEALTHY: EndpointHealth = { failures: 0, ejectedUntilMs: 0, isProbing: false };

export function isEjected(health: EndpointHealth, nowMs: number): boolean {
  return nowMs < health.ejectedUntilMs;
}

/** Returns whether the ejection is over but no connection has succeeded since. */
export function needsProbe(health: EndpointHealth, nowMs: number): boolean {
  return health.failures > 0 && !isEjected(health, nowMs);
}

/**
 * Returns the health while one connection probes the endpoint. Without a result, the next probe follows after 500 ms.
 */
export function startProbe(health: EndpointHealth, nowMs: number): EndpointHealth {
  return { ...health, ejectedUntilMs: nowMs + PROBE_MS, isProbing: true };
}

/** Returns the health after a failed attempt: ejected for 250 ms, doubled by each failed probe up to 8 s. */
export function afterFailure(health: EndpointHealth, nowMs: number): EndpointHealth {
  if (isEjected(health, nowMs) && !health.isProbing) return health;
  const ejectionMs = Math.min(LONGEST_EJECTION_MS, FIRST_EJECTION_MS * 2 ** health.failures);
  return {
    failures: Math.min(health.failures + 1, MAX_FAILURES),
    ejectedUntilMs: nowMs + ejectionMs,
    isProbing: false,
  };
}
