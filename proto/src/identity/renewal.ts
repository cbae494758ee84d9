import type { CertificateFacts } from "./certificate.js";

/** Action that the owner of a certificate should take at a time. */
export type RenewalState =
  /** The certificate is valid and young. */
  | { readonly kind: "current"; readonly renewAtMs: number }
  /** The certificate is valid and should be renewed now. */
  | { readonly kind: "due"; readonly expiresAtMs: number }
  /** The certificate has expired, but can still be used for its own renewal. */
  | { readonly kind: "grace"; readonly untilMs: number }
  /** The owner must join again. */
  | { readonly kind: "expired"; readonly expiredAtMs: number };

export interface RenewalPolicy {
  /** Time after its expiry for which a certificate can still be used for its own renewal. */
  readonly graceMs: number;
  /** A random number from 0 to 1. Spreads the renewals of hosts that got their certificates at the same time. */
  readonly jitter: number;
}

/**
 * Time for which an expired certificate can still be used for its own renewal. A host that was off for less time does
 * not need to join again.
 */
export const RENEWAL_GRACE_MS = 30 * 24 * 60 * 60 * 1_000;

/** Share of the validity after which a certificate is renewed. Leaves the other half for retries. */
const RENEW_AFTER = 0.5;

/** Share of the validity over which jitter spreads renewals around the half. */
const JITTER_RATIO = 0.1;

/** Returns when a certificate should be renewed: after half of its validity, with 10 % jitter. */
function renewAtMs(
  { notBeforeMs, notAfterMs }: Pick<CertificateFacts, "notBeforeMs" | "notAfterMs">,
  jitter: number,
): number {
  const share = RENEW_AFTER + JITTER_RATIO * (2 * jitter - 1);
  return notBeforeMs + Math.round((notAfterMs - notBeforeMs) * share);
}

/** Returns what the owner of a certificate should do now. */
export function renewalState(
  facts: Pick<CertificateFacts, "notBeforeMs" | "notAfterMs">,
  nowMs: number,
  { graceMs, jitter }: RenewalPolicy,
): RenewalState {
  const { notAfterMs } = facts;
  const dueMs = renewAtMs(facts, jitter);
  if (nowMs < dueMs) return { kind: "current", renewAtMs: dueMs };
  if (nowMs <= notAfterMs) return { kind: "due", expiresAtMs: notAfterMs };
  if (nowMs <= notAfterMs + graceMs) return { kind: "grace", untilMs: notAfterMs + graceMs };
  return { kind: "expired", expiredAtMs: notAfterMs };
}
