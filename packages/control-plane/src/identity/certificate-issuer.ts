import { randomBytes } from "node:crypto";
import type { Authority, JoinKind } from "@berth/proto";
import { createJoinToken, type Identity, issueCertificate } from "@berth/proto/identity";
import type { ClusterKey } from "./cluster-key.js";
import { bundleOf, issuingAuthority, openAuthority } from "./sealed-authority.js";

const HOUR_MS = 60 * 60 * 1_000;
const DAY_MS = 24 * HOUR_MS;

/** How long certificates are valid. They are renewed after half of it. */
const VALIDITY_MS: Readonly<Record<Identity["kind"], number>> = {
  server: 3 * DAY_MS,
  node: 3 * DAY_MS,
  // The command line renews a user's certificate when it is used.
  user: 30 * DAY_MS,
};

/** Certificates are valid from this long before they were issued, for hosts whose clock is behind. */
const BACKDATE_MS = HOUR_MS;

const JOIN_SECRET_BYTES = 16;

/** A certificate and the CA certificates to trust with it, in PEM. */
export interface IssuedCertificate {
  readonly certificate: string;
  readonly authorities: string;
}

/** Issues the certificates of the cluster. */
export interface CertificateIssuer {
  /**
   * @param ipAddresses addresses for TLS clients that verify host names, such as etcd's
   * @throws BerthError BERTH_INPUT_INVALID for a malformed request
   */
  issue(identity: Identity, request: string, ipAddresses?: readonly string[]): Promise<IssuedCertificate>;
  /** Returns the text of a new join token. */
  createToken(kind: JoinKind): string;
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
    issue: async (identity, request, ipAddresses = []) => {
      const authority = openAuthority(clusterKey, issuingAuthority(authorities()));
      const validity = {
        nowMs: wallClockMs(),
        backdateMs: BACKDATE_MS,
        durationMs: VALIDITY_MS[identity.kind],
      };
      return {
        certificate: await issueCertificate(authority, { request, identity, validity, ipAddresses }),
        authorities: bundleOf(authorities()),
      };
    },
    createToken: (kind) =>
      createJoinToken(kind, issuingAuthority(authorities()).fingerprint, randomBytes(JOIN_SECRET_BYTES)),
  };
}
