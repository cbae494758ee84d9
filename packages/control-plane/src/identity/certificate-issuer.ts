import { randomBytes } from "node:crypto";
import type { Authority, JoinKind } from "@berth/proto";
import { formatJoinToken, type Identity, issueCertificate, RENEWAL_GRACE_MS } from "@berth/proto/identity";
import type { ClusterKey } from "./cluster-key.js";
import {
  BACKDATE_MS,
  bundleOf,
  createSuccessor,
  crossChain,
  issuingAuthority,
  openAuthority,
  resealAuthority,
} from "./sealed-authority.js";

const HOUR_MS = 60 * 60 * 1_000;
const DAY_MS = 24 * HOUR_MS;

/**
 * Validity of certificates. They are renewed after half of this time, so a clock that is a day ahead does not make them
 * expire.
 */
const VALIDITY_MS: Readonly<Record<Identity["kind"], number>> = {
  server: 3 * DAY_MS,
  node: 3 * DAY_MS,
  // The CLI renews a user's certificate when it is used.
  user: 30 * DAY_MS,
};

/**
 * Time for which an authority stays trusted after its last certificate: until this certificate can no longer be used,
 * not even for a renewal. The additional hour covers delayed servers and differing clocks.
 */
export const RETIREMENT_MS = Math.max(...Object.values(VALIDITY_MS)) + RENEWAL_GRACE_MS + HOUR_MS;

const JOIN_SECRET_BYTES = 16;

/** A certificate and the CA certificates to trust with it, in PEM. */
export interface IssuedCertificate {
  /** Issued certificate in PEM. For a server, the cross-signed certificates that it presents follow. */
  readonly certificate: string;
  readonly authorities: string;
  /** Fingerprint of the authority that issued the certificate. */
  readonly issuer: string;
}

/** Issues the certificates of the cluster. */
export interface CertificateIssuer {
  /**
   * @param hosts IP addresses and DNS names for TLS clients that verify them, such as etcd's and browsers
   * @throws BerthError BERTH_INPUT_INVALID for a malformed request
   */
  issue(identity: Identity, request: string, hosts?: readonly string[]): Promise<IssuedCertificate>;
  /** Returns the text of a new join token. */
  createToken(kind: JoinKind): string;
  /** Creates the successor of the issuing authority. */
  createSuccessor(): Promise<Successor>;
  /** Re-encrypts the key of an authority with the current cluster key, which can change at any time. */
  reseal(authority: Authority): Authority;
}

/** A new authority, and the fingerprint of the authority that signed its key. */
export interface Successor {
  readonly authority: Authority;
  readonly signedBy: string;
}

export interface ClusterIssuerOptions {
  /** Returns all authorities of the cluster. */
  readonly authorities: () => Iterable<Authority>;
  readonly clusterKey: ClusterKey;
  readonly wallClockMs: () => number;
}

/** Returns the issuer of a server, which has the cluster key in a file. */
export function clusterIssuer({
  authorities,
  clusterKey,
  wallClockMs,
}: ClusterIssuerOptions): CertificateIssuer {
  return {
    issue: async (identity, request, hosts = []) => {
      const all = [...authorities()];
      const issuing = issuingAuthority(all);
      const validity = {
        nowMs: wallClockMs(),
        backdateMs: BACKDATE_MS,
        durationMs: VALIDITY_MS[identity.kind],
      };
      const authority = openAuthority(clusterKey, issuing);
      const leaf = await issueCertificate(authority, { request, identity, validity, hosts });
      const crosses = identity.kind === "server" ? crossChain(all) : [];
      return {
        certificate: [leaf, ...crosses].join(""),
        authorities: bundleOf(all),
        issuer: issuing.fingerprint,
      };
    },
    createToken: (kind) =>
      formatJoinToken(kind, issuingAuthority(authorities()).fingerprint, randomBytes(JOIN_SECRET_BYTES)),
    createSuccessor: async () => {
      const issuing = issuingAuthority(authorities());
      const authority = await createSuccessor(clusterKey, issuing, wallClockMs());
      return { authority, signedBy: issuing.fingerprint };
    },
    reseal: (authority) => resealAuthority(clusterKey, authority),
  };
}
