import { type Authority, Authority_State, BerthError } from "@berth/proto";
import { createAuthority, type Authority as OpenAuthority, readAuthority } from "@berth/proto/identity";
import { type ClusterKey, open, seal } from "./cluster-key.js";

const HOUR_MS = 60 * 60 * 1_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
const VALIDITY_MS = 10 * YEAR_MS;
/** Starts the validity in the past, for hosts whose clock is behind. */
const BACKDATE_MS = HOUR_MS;

/** Creates an authority that issues certificates. Its key is encrypted with the cluster key. */
export async function createSealedAuthority(
  clusterKey: ClusterKey,
  cluster: string,
  nowMs: number,
): Promise<Authority> {
  const validity = { nowMs, backdateMs: BACKDATE_MS, durationMs: VALIDITY_MS };
  const { certificate, key } = await createAuthority(cluster, validity);
  const { fingerprint } = readAuthority(certificate);
  const sealedKey = seal(clusterKey, key, contextOf(fingerprint));
  return { fingerprint, certificate, sealedKey, state: Authority_State.ISSUING, createdAtMs: nowMs };
}

/** Decrypts the key of an authority. @throws BerthError BERTH_IDENTITY_INVALID for another cluster key or damage */
export function openAuthority(clusterKey: ClusterKey, authority: Authority): OpenAuthority {
  const { certificate, fingerprint, sealedKey } = authority;
  return { certificate, key: open(clusterKey, sealedKey, contextOf(fingerprint)) };
}

/** Returns the authority that issues certificates. @throws BerthError BERTH_IDENTITY_INVALID before one is stored */
export function issuingAuthority(authorities: Iterable<Authority>): Authority {
  const issuing = [...authorities].find(({ state }) => state === Authority_State.ISSUING);
  if (issuing !== undefined) return issuing;
  throw new BerthError({
    code: "BERTH_IDENTITY_INVALID",
    message:
      "the cluster has no authority that issues certificates: wait until the first leader has stored it",
  });
}

/** Returns the CA certificates that all programs trust, in PEM, the oldest first. */
export function bundleOf(authorities: Iterable<Authority>): string {
  const sorted = [...authorities].sort((a, b) => a.createdAtMs - b.createdAtMs);
  return sorted.map(({ certificate }) => certificate.trim()).join("\n");
}

/** Checks an authority of another process: its certificate, its fingerprint, and that the cluster key opens it. */
export function requireOpenable(clusterKey: ClusterKey, authority: Authority): void {
  const { fingerprint } = readAuthority(authority.certificate);
  if (fingerprint !== authority.fingerprint) {
    throw new BerthError({
      code: "BERTH_IDENTITY_INVALID",
      message: `cannot use the authority ${authority.fingerprint.slice(0, 64)}: its certificate has the fingerprint ${fingerprint}`,
    });
  }
  openAuthority(clusterKey, authority);
}

function contextOf(fingerprint: string): string {
  return `the key of the authority ${fingerprint}`;
}
