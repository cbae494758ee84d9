import { isBerthError } from "@berth/proto";
import {
  type CertificateFacts,
  certificateFacts,
  describeIdentity,
  fetchAuthority,
  isKeyOf,
  parseCertificate,
  RENEWAL_GRACE_MS,
  readTrust,
  renewalState,
  type Trust,
  verifyCertificate,
} from "@berth/proto/identity";
import { type Check, type CheckContext, type Finding, failed, ok, skipped, warning } from "../check.js";
import { type IdentityTexts, readIdentityTexts } from "../joined-cluster.js";

const SUBJECT = "identity";
const JOIN_AGAIN = 'Run "berth agent join ADDRESS --force" with a new token.';

/** Checks the certificate from `berth agent join`, and that the servers belong to the same cluster. */
export const checkIdentity: Check = async (context) => {
  const texts = await readIdentityTexts(context.dataDir);
  if (texts === undefined) {
    return [skipped(SUBJECT, "this host has not joined a cluster with berth agent join")];
  }
  return [...evaluateIdentity(texts, Date.now()), ...(await checkAuthorities(texts, context))];
};

/** Evaluates the permissions of the files, and the validity of the certificate. */
export function evaluateIdentity(texts: IdentityTexts, nowMs: number): readonly Finding[] {
  const { certificate, authorities, keys, exposed } = texts;
  const permissions = exposed.map((path) =>
    failed(
      SUBJECT,
      `${path} is accessible to other users`,
      `Run chmod go= ${path}. Join again if another user may have read it.`,
    ),
  );
  try {
    const x509 = parseCertificate(certificate);
    const trust = readTrust(authorities);
    const { notBeforeMs } = certificateFacts(x509);
    const facts = verifyCertificate(x509, trust, { nowMs: notBeforeMs });
    if (keys.some((key) => isKeyOf(key, x509))) {
      return [...permissions, evaluateValidity(facts, trust, nowMs)];
    }
    return [...permissions, failed(SUBJECT, "no key matches the certificate", JOIN_AGAIN)];
  } catch (error) {
    return [
      ...permissions,
      failed(SUBJECT, error instanceof Error ? error.message : String(error), JOIN_AGAIN),
    ];
  }
}

function evaluateValidity(facts: CertificateFacts, { authorities }: Trust, nowMs: number): Finding {
  const name = `${describeIdentity(facts.identity)} of the cluster ${facts.cluster}`;
  const clock = `this host's clock says ${formatTime(nowMs)}`;
  if (nowMs < facts.notBeforeMs) {
    const message = `certificate of ${name} is not valid before ${formatTime(facts.notBeforeMs)}: ${clock}`;
    return failed(SUBJECT, message, "Correct the clock.");
  }
  // The latest time at which an agent renews a certificate.
  const state = renewalState(facts, nowMs, { graceMs: RENEWAL_GRACE_MS, jitter: 1 });
  const until = formatTime(facts.notAfterMs);
  switch (state.kind) {
    case "current": {
      const prints = authorities.map(({ fingerprint }) => fingerprint).join(", ");
      const renewal = `renewal by ${formatTime(state.renewAtMs)}`;
      return ok(SUBJECT, `${name}, valid until ${until}, ${renewal}, CA ${prints}`);
    }
    case "due":
      return warning(
        SUBJECT,
        `certificate of ${name} is valid until ${until}, and its renewal is overdue`,
        "Start the agent, or check its log.",
      );
    case "grace":
      return warning(
        SUBJECT,
        `certificate of ${name} expired at ${until}, and can be renewed until ${formatTime(state.untilMs)}: ${clock}`,
        "Start the agent, which renews it, or correct the clock.",
      );
    case "expired":
      return failed(
        SUBJECT,
        `certificate of ${name} expired at ${until}: ${clock}`,
        `${JOIN_AGAIN} Or correct the clock.`,
      );
  }
}

/** Reports servers that present another CA than the one of this host's cluster. */
async function checkAuthorities(
  { authorities }: IdentityTexts,
  { servers, signal }: CheckContext,
): Promise<readonly Finding[]> {
  const fingerprints = fingerprintsOf(authorities);
  if (fingerprints.length === 0) return [];
  const findings = await Promise.all(servers.map((address) => checkAuthority(address, fingerprints, signal)));
  return findings.flat();
}

async function checkAuthority(
  address: string,
  fingerprints: readonly string[],
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  let mismatch = "";
  for (const fingerprint of fingerprints) {
    try {
      await fetchAuthority({ address, fingerprint }, signal);
      return [];
    } catch (error) {
      signal.throwIfAborted();
      // The check "cluster" reports servers that cannot be reached.
      if (!isBerthError(error, "BERTH_AUTHORITY_MISMATCH")) return [];
      mismatch = error.message;
    }
  }
  return [failed(SUBJECT, mismatch, "Check the address. If the cluster was created again, join it.")];
}

function fingerprintsOf(authorities: string): readonly string[] {
  try {
    return readTrust(authorities).authorities.map(({ fingerprint }) => fingerprint);
  } catch {
    return [];
  }
}

function formatTime(ms: number): string {
  return new Date(ms).toISOString();
}
