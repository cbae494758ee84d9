/** The first absence: long enough to spare most connections a failed attempt, short enough that a restart is noticed. */
const FIRST_EJECTION_MS = 250;
/** A dead endpoint costs one connection one failed attempt this often until the table drops it. */
const LONGEST_EJECTION_MS = 8_000;
/** While one connection probes an endpoint, the others keep away for as long as the attempt can take. */
const PROBE_MS = 500;

/** Whether this host's own connection attempts speak against an endpoint. Never the control plane's verdict. */
export interface EndpointHealth {
  /** Failures in a row, counted once per ejection: a burst that fails together is one failure. */
  readonly strikes: number;
  readonly ejectedUntilMs: number;
  /** One connection is out to see whether the endpoint is back. */
  readonly probing: boolean;
}

export const HEALTHY: EndpointHealth = { strikes: 0, ejectedUntilMs: 0, probing: false };

export function isEjected(health: EndpointHealth, nowMs: number): boolean {
  return nowMs < health.ejectedUntilMs;
}

/** The ejection is over, but nobody has connected since. */
export function needsProbe(health: EndpointHealth, nowMs: number): boolean {
  return health.strikes > 0 && !isEjected(health, nowMs);
}

/** Keeps others away while one connection tries. Should the attempt never report, the next one may after a while. */
export function startProbe(health: EndpointHealth, nowMs: number): EndpointHealth {
  return { ...health, ejectedUntilMs: nowMs + PROBE_MS, probing: true };
}

/** Out for 250 ms, then twice as long with every probe that fails, 8 s at most. */
export function afterFailure(health: EndpointHealth, nowMs: number): EndpointHealth {
  if (isEjected(health, nowMs) && !health.probing) return health;
  const ejectionMs = Math.min(LONGEST_EJECTION_MS, FIRST_EJECTION_MS * 2 ** health.strikes);
  return { strikes: Math.min(health.strikes + 1, 16), ejectedUntilMs: nowMs + ejectionMs, probing: false };
}
