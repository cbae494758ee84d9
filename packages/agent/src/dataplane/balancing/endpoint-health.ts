/** First ejection: spares most connections a failed attempt, and short enough to notice a restarted endpoint soon. */
const FIRST_EJECTION_MS = 250;
/** Longest ejection: a dead endpoint costs one failed attempt this often until the leader removes it. */
const LONGEST_EJECTION_MS = 8_000;
/** While one connection probes an endpoint, other connections avoid it for as long as the attempt may take. */
const PROBE_MS = 500;
/** Keeps the exponential back-off within the range of a number. */
const MAX_FAILURES = 16;

/** Passive health check of one endpoint, from this host's own connection attempts. */
export interface EndpointHealth {
  /** Consecutive failures, counted once per ejection: a burst of failures counts as one. */
  readonly failures: number;
  readonly ejectedUntilMs: number;
  /** True while one connection tests whether the endpoint is back. */
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

/** Ejects the endpoint while one connection tests it. If the result never arrives, the next probe follows. */
export function startProbe(health: EndpointHealth, nowMs: number): EndpointHealth {
  return { ...health, ejectedUntilMs: nowMs + PROBE_MS, isProbing: true };
}

/** Ejects the endpoint for 250 ms, doubled by each failed probe up to 8 s. */
export function afterFailure(health: EndpointHealth, nowMs: number): EndpointHealth {
  if (isEjected(health, nowMs) && !health.isProbing) return health;
  const ejectionMs = Math.min(LONGEST_EJECTION_MS, FIRST_EJECTION_MS * 2 ** health.failures);
  return {
    failures: Math.min(health.failures + 1, MAX_FAILURES),
    ejectedUntilMs: nowMs + ejectionMs,
    isProbing: false,
  };
}
