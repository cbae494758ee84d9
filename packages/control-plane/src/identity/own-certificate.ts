import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { Authority } from "@berth/proto";
import {
  certificateFacts,
  createRequest,
  type IdentityDirectory,
  type IdentityFiles,
  keepCertificateValid,
  parseCertificate,
  renewalState,
} from "@berth/proto/identity";
import { clusterIssuer } from "./certificate-issuer.js";
import type { ClusterKey } from "./cluster-key.js";
import { bundleOf, issuingAuthority } from "./sealed-authority.js";

// A server has the cluster key, so it issues its own certificates without another server, even if it was off for longer
// than the validity of its certificate.

/** A certificate that a server issues to itself. */
export interface OwnCertificate {
  readonly directory: IdentityDirectory;
  readonly serverId: string;
  readonly clusterKey: ClusterKey;
  /** IP addresses and DNS names that the certificate must have. */
  readonly hosts: readonly string[];
  /** Returns the authorities to trust, one of which issues certificates. */
  readonly authorities: (signal: AbortSignal) => Promise<readonly Authority[]>;
  readonly wallClockMs: () => number;
}

/** Whether a server reissues one of its own certificates. */
export type CertificatePlan = { readonly kind: "keep" } | { readonly kind: "issue"; readonly reason: string };

/** The requirements for a certificate. */
export interface CertificateRequirements {
  readonly authorities: readonly Authority[];
  readonly hosts: readonly string[];
}

/** Decides whether a server issues itself a new certificate. */
export function planCertificate(
  current: Pick<IdentityFiles, "certificate" | "authorities"> | undefined,
  { authorities, hosts }: CertificateRequirements,
  nowMs: number,
): CertificatePlan {
  if (current === undefined) return reissue("the directory has no certificate");
  const x509 = parseCertificate(current.certificate);
  const issuer = parseCertificate(issuingAuthority(authorities).certificate);
  if (!x509.checkIssued(issuer) || !x509.verify(issuer.publicKey)) {
    return reissue("another authority issues certificates now");
  }
  if (current.authorities.trim() !== bundleOf(authorities)) {
    return reissue("the trusted authorities have changed");
  }
  const missing = hosts.filter((host) => !hasHost(x509, host));
  if (missing.length > 0) return reissue(`it does not have the host ${missing.join(", ")}`);
  const facts = certificateFacts(x509);
  if (nowMs < facts.notBeforeMs) return reissue("it is not valid yet");
  const { kind } = renewalState(facts, nowMs, { graceMs: 0, jitter: 0.5 });
  return kind === "current" ? { kind: "keep" } : reissue("more than half of its validity has passed");
}

/**
 * Returns the certificate in the directory, after issuing it if necessary. Called when the server starts, and when the
 * authorities have changed.
 */
export async function ensureCertificate(own: OwnCertificate, signal: AbortSignal): Promise<IdentityFiles> {
  const { directory, hosts } = own;
  const authorities = await own.authorities(signal);
  const current = await directory.load();
  const plan = planCertificate(current, { authorities, hosts }, own.wallClockMs());
  if (plan.kind === "keep" && current !== undefined) return current;
  const request = await createRequest(await directory.prepareKey());
  return directory.store(await issueToSelf(own, request, authorities));
}

export interface RenewalOptions {
  /** The current certificate. */
  readonly files: IdentityFiles;
  readonly onRenewed: (files: IdentityFiles) => void;
  readonly onFailure: (error: unknown) => void;
}

/** Reissues the certificate after half of its validity, until the signal is aborted. */
export function renewUntilAborted(
  own: OwnCertificate,
  { files, onRenewed, onFailure }: RenewalOptions,
  signal: AbortSignal,
): Promise<void> {
  return keepCertificateValid(
    {
      directory: own.directory,
      files,
      onRenewed,
      onFailure,
      nowMs: own.wallClockMs,
      requestCertificate: async (request, abort) => issueToSelf(own, request, await own.authorities(abort)),
      // The server issues the certificate itself, so renewals need no jitter, and an expired certificate can be renewed
      // too.
      jitter: 0.5,
      graceMs: 0,
    },
    signal,
  );
}

async function issueToSelf(
  { serverId, clusterKey, hosts, wallClockMs }: OwnCertificate,
  request: string,
  authorities: readonly Authority[],
): Promise<Omit<IdentityFiles, "key">> {
  const issuer = clusterIssuer({ authorities: () => authorities, clusterKey, wallClockMs });
  return issuer.issue({ kind: "server", id: serverId }, request, hosts);
}

function hasHost(certificate: X509Certificate, host: string): boolean {
  if (isIP(host) !== 0) return certificate.checkIP(host) !== undefined;
  return certificate.checkHost(host, { subject: "never" }) !== undefined;
}

function reissue(reason: string): CertificatePlan {
  return { kind: "issue", reason };
}
