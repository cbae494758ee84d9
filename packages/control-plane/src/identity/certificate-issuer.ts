import { randomBytes } from "node:crypto";
import { type Authority, Authority_State, BerthError, type JoinKind } from "@berth/proto";
import { createJoinToken, type Identity, issueCertificate } from "@berth/proto/identity";
import { type ClusterKey, open } from "./cluster-key.js";

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
  /** @throws BerthError BERTH_INPUT_INVALID for a malformed request */
  issue(identity: Identity, request: string): Promise<IssuedCertificate>;
  /** Returns the text of a new join token. */
  createToken(kind: JoinKind): string;
}

export interface ClusterIssuerOptions {
  /** Returns all authorities of the cluster. */
  readonly authorities: () => Iterable<Authority>;
  readonly clusterKey: ClusterKey;
  readonly wallClockMs: () => number;
}

/** Returns the issuer of a leader, which has the authorities in its state and the cluster key in a file. */
export function clusterIssuer({
  authorities,
  clusterKey,
  wallClockMs,
}: ClusterIssuerOptions): CertificateIssuer {
  return {
    issue: async (identity, request) => {
      const { certificate, sealedKey, fingerprint } = issuingAuthority(authorities());
      const key = open(clusterKey, sealedKey, authorityContext(fingerprint));
      const validity = {
        nowMs: wallClockMs(),
        backdateMs: BACKDATE_MS,
        durationMs: VALIDITY_MS[identity.kind],
      };
      return {
        certificate: await issueCertificate({ certificate, key }, { request, identity, validity }),
        authorities: bundleOf(authorities()),
      };
    },
    createToken: (kind) =>
      createJoinToken(kind, issuingAuthority(authorities()).fingerprint, randomBytes(JOIN_SECRET_BYTES)),
  };
}

/** Returns what the sealed key of an authority is, for `seal` and `open`. */
export function authorityContext(fingerprint: string): string {
  return `the key of the authority ${fingerprint}`;
}

/** Returns the CA certificates that all programs trust, in PEM, the oldest first. */
export function bundleOf(authorities: Iterable<Authority>): string {
  const sorted = [...authorities].sort((a, b) => a.createdAtMs - b.createdAtMs);
  return sorted.map(({ certificate }) => certificate.trim()).join("\n");
}

function issuingAuthority(authorities: Iterable<Authority>): Authority {
  const issuing = [...authorities].find(({ state }) => state === Authority_State.ISSUING);
  if (issuing !== undefined) return issuing;
  throw new BerthError({
    code: "BERTH_IDENTITY_INVALID",
    message:
      "the cluster has no authority that issues certificates: wait until the first leader has stored it",
  });
}
