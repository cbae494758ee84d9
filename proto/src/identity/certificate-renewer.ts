import { setTimeout as sleep } from "node:timers/promises";
import { createRequest } from "./authority.js";
import { certificateFacts, parseCertificate } from "./certificate.js";
import type { IdentityDirectory, IdentityFiles } from "./identity-directory.js";
import { renewalState } from "./renewal.js";
import type { RenewalDemand } from "./renewal-demand.js";

/**
 * Pause after a first failed renewal: long enough to cost little, and short compared to the remaining half of the
 * validity.
 */
const MIN_RETRY_MS = 5_000;

/** Longest pause after a failed renewal. */
const MAX_RETRY_MS = 5 * 60_000;

/** Longest sleep. `setTimeout` supports at most 24 days, and a check in between also notices clock changes. */
const MAX_SLEEP_MS = 60 * 60_000;

export interface CertificateRenewerOptions {
  readonly directory: IdentityDirectory;
  /** The identity in the directory. */
  readonly files: IdentityFiles;
  /** Asks a server for the next certificate. */
  readonly requestCertificate: (request: string, signal: AbortSignal) => Promise<Omit<IdentityFiles, "key">>;
  /** Called with each new identity once it is stored. */
  readonly onRenewed: (files: IdentityFiles) => void;
  readonly onFailure: (error: unknown) => void;
  /** A number from 0 to 1. Spreads the renewals of hosts that joined at the same time. */
  readonly jitter: number;
  readonly graceMs: number;
  readonly nowMs?: () => number;
  /** Requests early renewals. */
  readonly demand?: RenewalDemand;
}

/**
 * Renews the certificate in a directory after half of its validity, with a new key, until the signal is aborted.
 * Retries failed renewals: the certificate stays valid for a while, and can then still be used for its renewal during
 * the grace period.
 */
export async function keepCertificateValid(
  options: CertificateRenewerOptions,
  signal: AbortSignal,
): Promise<void> {
  const { onRenewed, onFailure, jitter, graceMs, nowMs = () => Date.now(), demand } = options;
  let { files } = options;
  let failures = 0;
  while (!signal.aborted) {
    const renewAtMs = nextRenewalMs(files, nowMs(), { graceMs, jitter });
    const dueMs = renewAtMs === undefined ? 0 : Math.min(renewAtMs, demand?.dueMs ?? Infinity);
    let delayMs = Math.min(dueMs - nowMs(), MAX_SLEEP_MS);
    if (delayMs <= 0) {
      const changed = demand?.changed;
      try {
        files = await renew(options, signal);
        // A demand during the renewal requires another one: the certificate may be from the previous authority.
        if (demand?.changed === changed) demand?.fulfil();
        failures = 0;
        onRenewed(files);
        if (nextRenewalMs(files, nowMs(), { graceMs, jitter }) !== undefined) continue;
        // This host's clock or the server's is wrong, which another certificate would not change.
        delayMs = MAX_RETRY_MS;
      } catch (error) {
        if (signal.aborted) return;
        onFailure(error);
        delayMs = Math.min(MIN_RETRY_MS * 2 ** failures, MAX_RETRY_MS);
        failures += 1;
      }
    }
    // A demand does not shorten the delay after a failure.
    const wake = demand === undefined || failures > 0 ? signal : AbortSignal.any([signal, demand.changed]);
    await sleep(delayMs, undefined, { signal: wake, ref: false }).catch(() => {});
  }
}

/** Returns when to renew a certificate, or undefined if it must be renewed now. */
function nextRenewalMs(
  { certificate }: IdentityFiles,
  nowMs: number,
  policy: Pick<CertificateRenewerOptions, "graceMs" | "jitter">,
): number | undefined {
  const facts = certificateFacts(parseCertificate(certificate));
  const state = renewalState(facts, nowMs, policy);
  // A certificate that is not valid yet was issued while a clock was wrong, and may be rejected.
  return state.kind === "current" && nowMs >= facts.notBeforeMs ? state.renewAtMs : undefined;
}

async function renew(
  { directory, requestCertificate }: CertificateRenewerOptions,
  signal: AbortSignal,
): Promise<IdentityFiles> {
  const request = await createRequest(await directory.prepareKey());
  return directory.store(await requestCertificate(request, signal));
}
