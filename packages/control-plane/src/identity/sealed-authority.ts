import { type Authority, Authority_State, BerthError } from "@berth/proto";
import {
  createAuthority,
  crossSign,
  type Authority as OpenAuthority,
  parseCertificate,
  readAuthority,
  type Validity,
} from "@berth/proto/identity";
import { type ClusterKey, open, seal } from "./cluster-key.js";

const HOUR_MS = 60 * 60 * 1_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
const VALIDITY_MS = 10 * YEAR_MS;
/**
 * Time by which certificates are backdated, for hosts whose clock is a day behind, and for the time after a server's
 * clock was a day ahead.
 */
export const BACKDATE_MS = 25 * HOUR_MS;

/** Creates an authority that issues certificates. Its key is encrypted with the cluster key. */
export async function createSealedAuthority(
  clusterKey: ClusterKey,
  cluster: string,
  nowMs: number,
): Promise<Authority> {
  const { certificate, key } = await createAuthority(cluster, validityFrom(nowMs));
  const { fingerprint } = readAuthority(certificate);
  const sealedKey = seal(clusterKey, key, authorityContext(fingerprint));
  return {
    fingerprint,
    certificate,
    sealedKey,
    crossCertificate: "",
    state: Authority_State.ISSUING,
    createdAtMs: nowMs,
    stateSinceMs: nowMs,
  };
}

/** Creates the successor of the issuing authority, which signs its key. It issues no certificates yet. */
export async function createSuccessor(
  clusterKey: ClusterKey,
  issuing: Authority,
  nowMs: number,
): Promise<Authority> {
  const { cluster } = readAuthority(issuing.certificate);
  const successor = await createSealedAuthority(clusterKey, cluster, nowMs);
  const issuer = openAuthority(clusterKey, issuing);
  const crossCertificate = await crossSign(issuer, successor.certificate, validityFrom(nowMs));
  return { ...successor, crossCertificate, state: Authority_State.ANNOUNCED };
}

/**
 * Returns the cross-signed certificates that lead from the issuing authority to earlier ones that are still trusted,
 * newest first. A server presents them after its own certificate.
 */
export function crossChain(authorities: readonly Authority[]): readonly string[] {
  const chain: string[] = [];
  let current: Authority | undefined = issuingAuthority(authorities);
  while (current !== undefined && current.crossCertificate !== "" && chain.length < authorities.length) {
    const { crossCertificate }: Authority = current;
    const cross = parseCertificate(crossCertificate);
    current = authorities.find(({ certificate }) => cross.checkIssued(parseCertificate(certificate)));
    if (current !== undefined) chain.push(crossCertificate);
  }
  return chain;
}

/**
 * Decrypts the key of an authority.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID for a different cluster key or damaged data
 */
export function openAuthority(clusterKey: ClusterKey, authority: Authority): OpenAuthority {
  const { certificate, fingerprint, sealedKey } = authority;
  return { certificate, key: open(clusterKey, sealedKey, authorityContext(fingerprint)) };
}

/** Encrypts the key of an authority with the version that `clusterKey` encrypts with. */
export function resealAuthority(clusterKey: ClusterKey, authority: Authority): Authority {
  const { key } = openAuthority(clusterKey, authority);
  return { ...authority, sealedKey: seal(clusterKey, key, authorityContext(authority.fingerprint)) };
}

/**
 * Returns the authority that issues certificates.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID before one is stored
 */
export function issuingAuthority(authorities: Iterable<Authority>): Authority {
  const issuing = [...authorities].find(({ state }) => state === Authority_State.ISSUING);
  if (issuing !== undefined) return issuing;
  throw new BerthError({
    code: "BERTH_IDENTITY_INVALID",
    message:
      "the cluster has no authority that issues certificates; wait until the first leader has stored it",
  });
}

/** Returns the certificates of the authorities, which all programs trust, in PEM, the oldest first. */
export function bundleOf(authorities: Iterable<Authority>): string {
  const sorted = [...authorities].sort((a, b) => a.createdAtMs - b.createdAtMs);
  return sorted.map(({ certificate }) => certificate.trim()).join("\n");
}

/** Checks an authority from another process: its certificate, its fingerprint, and that the cluster key decrypts it. */
export function requireDecryptable(clusterKey: ClusterKey, authority: Authority): void {
  const { fingerprint } = readAuthority(authority.certificate);
  if (fingerprint !== authority.fingerprint) {
    throw new BerthError({
      code: "BERTH_IDENTITY_INVALID",
      message: `cannot use the authority ${authority.fingerprint.slice(0, 64)}: its certificate has the fingerprint ${fingerprint}`,
    });
  }
  openAuthority(clusterKey, authority);
}

function validityFrom(nowMs: number): Validity {
  return { nowMs, backdateMs: BACKDATE_MS, durationMs: VALIDITY_MS };
}

/** Returns the context that binds the encryption of a key to its authority. */
export function authorityContext(fingerprint: string): string {
  return `the key of the authority ${fingerprint}`;
}
