import { X509Certificate } from "node:crypto";
import { BerthError } from "../errors.js";
import {
  type ClusterIdentity,
  describeIdentity,
  type Identity,
  parseClusterUri,
  parseIdentityUri,
} from "./identity.js";

/** The contents of a server, node or user certificate. */
export interface CertificateFacts extends ClusterIdentity {
  /** Serial number in upper-case hexadecimal digits. */
  readonly serial: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SHA-256 of the certificate, in lower-case hexadecimal digits. */
  readonly fingerprint: string;
}

/** An authority's certificate. */
export interface AuthorityCertificate {
  readonly cluster: string;
  readonly fingerprint: string;
  readonly x509: X509Certificate;
}

/** The CA certificates that a verifier trusts. */
export interface Trust {
  readonly cluster: string;
  readonly authorities: readonly AuthorityCertificate[];
}

/** The time at which a certificate is verified, and the name of the clock for errors. */
export interface VerifierTime {
  readonly nowMs: number;
  /** @default "this host's clock" */
  readonly clock?: string;
}

/** Reason why a certificate is rejected: the detail `reason` of BERTH_CERTIFICATE_INVALID. */
export type CertificateProblem =
  | "malformed"
  | "no-identity"
  | "other-cluster"
  | "unknown-authority"
  | "not-yet-valid"
  | "expired";

/** Maximum number of CA certificates in a bundle, which has the current CA and, during a rotation, its successor. */
const MAX_AUTHORITIES = 16;

/** Maximum length of a bundle. */
const MAX_BUNDLE_LENGTH = 64 * 1024;

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * Parses a certificate in PEM or DER.
 *
 * @throws BerthError BERTH_CERTIFICATE_INVALID
 */
export function parseCertificate(certificate: string | Buffer): X509Certificate {
  try {
    return new X509Certificate(certificate);
  } catch (error) {
    const message = `cannot read the certificate: ${error instanceof Error ? error.message : String(error)}`;
    throw invalidCertificateError("malformed", message);
  }
}

/**
 * Parses a certificate and the intermediate certificates that follow it, in PEM.
 *
 * @throws BerthError BERTH_CERTIFICATE_INVALID
 */
export function parseChain(pem: string): readonly X509Certificate[] {
  const certificates = pem.length > MAX_BUNDLE_LENGTH ? [] : (pem.match(PEM_CERTIFICATE) ?? []);
  // Text without a certificate leads to an error with the reason.
  return (certificates.length === 0 ? [pem] : certificates.slice(0, MAX_AUTHORITIES)).map(parseCertificate);
}

/**
 * Returns the contents of a certificate without verifying it.
 *
 * @throws BerthError BERTH_CERTIFICATE_INVALID
 */
export function certificateFacts(x509: X509Certificate): CertificateFacts {
  const uris = uriNames(x509);
  const [uri = ""] = uris;
  const name = uris.length === 1 ? parseIdentityUri(uri) : undefined;
  if (name === undefined) {
    throw invalidCertificateError(
      "no-identity",
      `certificate with the serial number ${x509.serialNumber} does not name a server, node or user of a berth cluster`,
    );
  }
  return {
    ...name,
    serial: x509.serialNumber,
    notBeforeMs: Date.parse(x509.validFrom),
    notAfterMs: Date.parse(x509.validTo),
    fingerprint: fingerprintOf(x509),
  };
}

/** Returns SHA-256 of a certificate in lower-case hexadecimal digits. */
export function fingerprintOf(x509: X509Certificate): string {
  return x509.fingerprint256.replaceAll(":", "").toLowerCase();
}

/**
 * Reads the certificate of an authority, in PEM or DER.
 *
 * @throws BerthError BERTH_CERTIFICATE_INVALID
 */
export function readAuthority(certificate: string | Buffer): AuthorityCertificate {
  const x509 = parseCertificate(certificate);
  const uris = uriNames(x509);
  const cluster = uris.length === 1 ? parseClusterUri(uris[0] ?? "") : undefined;
  if (cluster === undefined || !x509.ca) {
    const message = `certificate with the serial number ${x509.serialNumber} is not the CA certificate of a berth cluster`;
    throw invalidCertificateError("no-identity", message);
  }
  return { cluster, fingerprint: fingerprintOf(x509), x509 };
}

/**
 * Reads a bundle of CA certificates of one cluster, in PEM.
 *
 * @throws BerthError BERTH_CERTIFICATE_INVALID
 */
export function readTrust(bundlePem: string): Trust {
  const certificates = bundlePem.length > MAX_BUNDLE_LENGTH ? [] : (bundlePem.match(PEM_CERTIFICATE) ?? []);
  const [first, ...others] = certificates.slice(0, MAX_AUTHORITIES).map((pem) => readAuthority(pem));
  if (first === undefined || certificates.length > MAX_AUTHORITIES) {
    const message = `invalid bundle of CA certificates: it has ${certificates.length} certificates in ${bundlePem.length} characters; 1 to ${MAX_AUTHORITIES} in ${MAX_BUNDLE_LENGTH} are supported`;
    throw invalidCertificateError("malformed", message);
  }
  const stranger = others.find(({ cluster }) => cluster !== first.cluster);
  if (stranger !== undefined) {
    const message = `invalid bundle of CA certificates: it contains certificates of the clusters ${first.cluster} and ${stranger.cluster}`;
    throw invalidCertificateError("other-cluster", message);
  }
  return { cluster: first.cluster, authorities: [first, ...others] };
}

/**
 * Verifies a certificate's name, cluster, signature by a trusted authority, and validity, and returns its contents.
 * Does not verify possession of the key, which TLS does.
 *
 * @param intermediates the certificates that a peer presented after its own, each one the issuer of the one before.
 *   Their validity is TLS's task
 * @throws BerthError BERTH_CERTIFICATE_INVALID; `details.reason` is a CertificateProblem
 */
export function verifyCertificate(
  x509: X509Certificate,
  trust: Trust,
  time: VerifierTime,
  intermediates: readonly X509Certificate[] = [],
): CertificateFacts {
  const facts = certificateFacts(x509);
  const owner = describeIdentity(facts.identity);
  if (facts.cluster !== trust.cluster) {
    throw invalidCertificateError(
      "other-cluster",
      `certificate of ${owner} belongs to the cluster ${facts.cluster}, not to ${trust.cluster}; join this cluster to get a certificate`,
    );
  }
  if (x509.ca || !isTrustedChain([x509, ...intermediates], trust)) {
    const trusted = trust.authorities.map(({ fingerprint }) => fingerprint.slice(0, 12)).join(", ");
    throw invalidCertificateError(
      "unknown-authority",
      `certificate of ${owner} is not signed by a trusted CA of the cluster ${trust.cluster} (trusted: ${trusted})`,
    );
  }
  requireValidAt(facts, time);
  return facts;
}

/** @throws BerthError BERTH_CERTIFICATE_INVALID unless the certificate is valid at this time */
export function requireValidAt(
  facts: CertificateFacts,
  { nowMs, clock = "this host's clock" }: VerifierTime,
): void {
  const owner = describeIdentity(facts.identity);
  if (nowMs < facts.notBeforeMs) {
    throw invalidCertificateError(
      "not-yet-valid",
      `certificate of ${owner} is not valid before ${formatTime(facts.notBeforeMs)}: ${clock} says ${formatTime(nowMs)}; check the clocks of both hosts`,
    );
  }
  if (nowMs > facts.notAfterMs) {
    throw invalidCertificateError(
      "expired",
      `certificate of ${owner} expired at ${formatTime(facts.notAfterMs)}: ${clock} says ${formatTime(nowMs)}; renew the certificate, or correct the clock`,
    );
  }
}

/** @throws BerthError BERTH_CERTIFICATE_INVALID unless an identity is a server */
export function requireServer({ identity }: { readonly identity: Identity }): void {
  if (identity.kind === "server") return;
  throw invalidCertificateError(
    "no-identity",
    `certificate of ${describeIdentity(identity)} is not a server certificate`,
  );
}

/** @throws BerthError BERTH_CERTIFICATE_INVALID unless an identity is this node */
export function requireNodeCertificate({ identity }: { readonly identity: Identity }, nodeId: string): void {
  if (identity.kind === "node" && identity.id === nodeId) return;
  throw invalidCertificateError(
    "no-identity",
    `certificate of ${describeIdentity(identity)} is not the certificate of node ${nodeId}`,
  );
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** Follows a chain, and returns whether a trusted authority issued one of its certificates. */
export function isTrustedChain(chain: readonly X509Certificate[], { cluster, authorities }: Trust): boolean {
  for (const [i, certificate] of chain.entries()) {
    if (authorities.some((authority) => isIssuedBy(certificate, authority.x509))) return true;
    const next = chain[i + 1];
    if (next === undefined || !isAuthorityOf(next, cluster) || !isIssuedBy(certificate, next)) return false;
  }
  return false;
}

function isAuthorityOf(x509: X509Certificate, cluster: string): boolean {
  const [uri = "", ...others] = uriNames(x509);
  return x509.ca && others.length === 0 && parseClusterUri(uri) === cluster;
}

/** Returns the URI names of a certificate. Names with characters that Node.js quotes are not names of berth. */
function uriNames({ subjectAltName = "" }: X509Certificate): readonly string[] {
  return subjectAltName.split(", ").flatMap((name) => (name.startsWith("URI:") ? [name.slice(4)] : []));
}

function formatTime(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

function invalidCertificateError(reason: CertificateProblem, message: string): BerthError {
  return new BerthError({ code: "BERTH_CERTIFICATE_INVALID", message, details: { reason } });
}
