import type { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { type ConnectionOptions, connect, type DetailedPeerCertificate } from "node:tls";
import { BerthError, isBerthError } from "../errors.js";
import { scaleTiming } from "../timing-scale.js";
import {
  type AuthorityCertificate,
  certificateFacts,
  fingerprintOf,
  isTrustedChain,
  parseCertificate,
  readAuthority,
  requireServer,
} from "./certificate.js";

export interface FetchAuthorityOptions {
  /** "host:port" of a server. */
  readonly address: string;
  /** SHA-256 of the CA certificate in lower-case hexadecimal digits, from a join token. */
  readonly fingerprint: string;
  /** @default 5 s, multiplied by BERTH_TIMING_SCALE */
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = scaleTiming(5_000);

/** Maximum number of certificates from a server: its own and the CA certificates of its cluster. */
const MAX_CHAIN_LENGTH = 16;

/**
 * Gets the CA certificate with this fingerprint from a server with a certificate of this CA.
 *
 * The connection serves only this purpose and carries no data of the caller. Later connections trust only this CA, so a
 * server that merely replays the CA certificate gains nothing.
 *
 * @throws BerthError BERTH_AUTHORITY_MISMATCH, BERTH_SERVER_UNREACHABLE or BERTH_DEADLINE, or the signal's reason
 */
export async function fetchAuthority(
  { address, fingerprint, timeoutMs = DEFAULT_TIMEOUT_MS }: FetchAuthorityOptions,
  signal: AbortSignal,
): Promise<AuthorityCertificate> {
  signal.throwIfAborted();
  const deadline = AbortSignal.timeout(timeoutMs);
  const socket = connect({
    ...parseAddress(address),
    ...CONNECTION_OPTIONS,
    servername: authorityServerName(fingerprint),
  });
  try {
    await once(socket, "secureConnect", { signal: AbortSignal.any([signal, deadline]) });
    return findAuthority(presentedChain(socket.getPeerCertificate(true)), { address, fingerprint });
  } catch (error) {
    signal.throwIfAborted();
    if (isBerthError(error)) throw error;
    throw connectionError(error, { address, timeoutMs, hasTimedOut: deadline.aborted });
  } finally {
    socket.destroy();
  }
}

/**
 * Returns the server name with which a client asks a server for the chain to this authority. A server's certificate can
 * lead to several authorities, and TLS clients in Node.js see only one chain.
 */
export function authorityServerName(fingerprint: string): string {
  // A label of a name has at most 63 characters. 128 bits tell authorities apart.
  return `ca-${fingerprint.slice(0, 32)}.berth.invalid`;
}

const CONNECTION_OPTIONS: ConnectionOptions = {
  // The fingerprint takes the place of a trusted CA and of a host name.
  rejectUnauthorized: false,
  minVersion: "TLSv1.3",
  ALPNProtocols: ["h2"],
};

/** Returns the chain that a peer presented, its own certificate first. */
export function presentedChain(leaf: DetailedPeerCertificate): readonly Buffer[] {
  const chain: Buffer[] = [];
  let certificate: DetailedPeerCertificate | undefined = leaf;
  while (certificate?.raw !== undefined && chain.length < MAX_CHAIN_LENGTH) {
    chain.push(certificate.raw);
    // The issuer of a self-signed certificate is the certificate itself.
    certificate = certificate.issuerCertificate === certificate ? undefined : certificate.issuerCertificate;
  }
  return chain;
}

function findAuthority(
  chain: readonly Buffer[],
  { address, fingerprint }: { readonly address: string; readonly fingerprint: string },
): AuthorityCertificate {
  const certificates = chain.map(parseCertificate);
  const [leaf, ...issuers] = certificates;
  const index = issuers.findIndex((issuer) => fingerprintOf(issuer) === fingerprint);
  const candidate = issuers[index];
  if (
    leaf === undefined ||
    candidate === undefined ||
    !leadsTo(certificates.slice(0, index + 1), candidate)
  ) {
    const presented = certificates.map((certificate) =>
      describe(certificate.subject, fingerprintOf(certificate)),
    );
    throw new BerthError({
      code: "BERTH_AUTHORITY_MISMATCH",
      message: `server at ${address} does not belong to the cluster of this token: it presented ${presented.join(", then ") || "no certificate"}, not a certificate of the CA ${fingerprint}; check the address, and get a new token if the CA was replaced`,
    });
  }
  requireServer(certificateFacts(leaf));
  return readAuthority(candidate.raw);
}

function leadsTo(chain: readonly X509Certificate[], found: X509Certificate): boolean {
  const authority = readAuthority(found.raw);
  return isTrustedChain(chain, { cluster: authority.cluster, authorities: [authority] });
}

/** Describes a certificate. The subject comes from the other side, so it is quoted. */
function describe(subject: string, fingerprint: string): string {
  return `${JSON.stringify(subject.slice(0, 100))} (${fingerprint})`;
}

function connectionError(
  error: unknown,
  { address, timeoutMs, hasTimedOut }: { address: string; timeoutMs: number; hasTimedOut: boolean },
): BerthError {
  if (hasTimedOut) {
    const message = `server at ${address} did not complete a TLS handshake within ${timeoutMs} ms; check the address`;
    return new BerthError({ code: "BERTH_DEADLINE", message, cause: error });
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new BerthError({
    code: "BERTH_SERVER_UNREACHABLE",
    message: `cannot open a TLS connection to ${address}: ${reason}; check that a berth server listens there`,
    cause: error,
  });
}

/** Splits "host:port". An IPv6 address may be in brackets. */
function parseAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  const port = Number(address.slice(colon + 1));
  if (host === "" || !Number.isInteger(port) || port < 1 || port > 65_535) {
    const message = `invalid address ${JSON.stringify(address)}; use HOST:PORT`;
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
  }
  return { host, port };
}
