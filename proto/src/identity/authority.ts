import { createHash, createPublicKey, randomBytes, X509Certificate } from "node:crypto";
import { BerthError } from "../errors.js";
import { readAuthority } from "./certificate.js";
import { type ClusterIdentity, formatClusterUri, formatIdentityUri, type Identity } from "./identity.js";
import { createKey } from "./private-key.js";

/** A certificate authority: its certificate and private key, in PEM. */
export interface Authority {
  readonly certificate: string;
  readonly key: string;
}

/** The validity period of a certificate. */
export interface Validity {
  readonly nowMs: number;
  /** Time by which the validity is backdated, for hosts whose clock is behind. */
  readonly backdateMs: number;
  readonly durationMs: number;
}

export interface IssueOptions {
  /** Certificate request in PEM. Only its key is used: the requested names are ignored. */
  readonly request: string;
  /** The subject of the certificate. The caller has checked that the requester is this identity. */
  readonly identity: Identity;
  readonly validity: Validity;
  /** IP addresses and DNS names for TLS clients that verify them, such as etcd's and browsers. */
  readonly hosts?: readonly string[];
}

/**
 * Maximum length of a certificate request, checked before the request is parsed. A request with a P-256 key has about
 * 400 bytes.
 */
const MAX_REQUEST_LENGTH = 4_096;

const SERIAL_BYTES = 16;

/** Creates a certificate authority with a new key. */
export async function createAuthority(cluster: string, validity: Validity): Promise<Authority> {
  const key = createKey();
  const { createAuthorityCertificate } = await import("./x509.js");
  const certificate = await createAuthorityCertificate({
    ...certificateValues(validity),
    // Two authorities of a cluster must differ in their name, so that a verifier finds the right one.
    commonName: `berth CA ${randomBytes(4).toString("hex")}`,
    uri: formatClusterUri(cluster),
    keyPem: key,
  });
  return { certificate, key };
}

/**
 * Returns a certificate of `issuer` for the key and name of `authority`, in PEM. A program that only trusts the issuer can
 * verify certificates of the other authority with it.
 */
export async function crossSign(issuer: Authority, authority: string, validity: Validity): Promise<string> {
  const { cluster, x509 } = readAuthority(authority);
  const { createCrossCertificate } = await import("./x509.js");
  const pem = await createCrossCertificate({
    ...certificateValues(validity),
    ...issuerValues(issuer),
    commonName: x509.subject.replace("CN=", ""),
    publicKeyPem: authority,
    uri: formatClusterUri(cluster),
  });
  requireIssuedBy(pem, issuer);
  return pem;
}

/**
 * Issues a certificate for the key of a request. Returns it in PEM.
 *
 * @throws BerthError BERTH_INPUT_INVALID for a request that is malformed, or not signed with its own key
 */
export async function issueCertificate(authority: Authority, options: IssueOptions): Promise<string> {
  const { request, identity, validity, hosts = [] } = options;
  const { cluster } = readAuthority(authority.certificate);
  const name: ClusterIdentity = { cluster, identity };
  const publicKeyPem = await readPublicKey(request);
  const { createLeafCertificate } = await import("./x509.js");
  const pem = await createLeafCertificate({
    ...certificateValues(validity),
    ...issuerValues(authority),
    // A common name is limited to 64 characters, too short for the whole name. Only the URI counts.
    commonName: `berth ${identity.kind}`,
    publicKeyPem,
    uri: formatIdentityUri(name),
    hosts,
  });
  requireIssuedBy(pem, authority);
  return pem;
}

/** Returns a certificate request for a private key, both in PEM. The request proves possession of the key. */
export async function createRequest(key: string): Promise<string> {
  const { createRequestPem } = await import("./x509.js");
  return createRequestPem(key);
}

/**
 * Returns the SHA-256 of the public key of a request in hexadecimal digits.
 *
 * @throws BerthError BERTH_INPUT_INVALID for a request that `issueCertificate` rejects
 */
export async function hashRequestKey(request: string): Promise<string> {
  const der = createPublicKey(await readPublicKey(request)).export({ type: "spki", format: "der" });
  return createHash("sha256").update(der).digest("hex");
}

function issuerValues({ certificate, key }: Authority) {
  return {
    issuerCertificatePem: certificate,
    issuerSubject: new X509Certificate(certificate).subject.replaceAll("\n", ", "),
    issuerKeyPem: key,
  };
}

/** Checks the issuer's name: if the library encoded it differently, no program would accept the certificate. */
function requireIssuedBy(pem: string, { certificate }: Authority): void {
  if (!new X509Certificate(pem).checkIssued(new X509Certificate(certificate))) {
    throw new Error("the issued certificate does not name its issuer");
  }
}

async function readPublicKey(request: string): Promise<string> {
  if (request.length > MAX_REQUEST_LENGTH) {
    throw invalidRequestError(`it has ${request.length} characters, more than ${MAX_REQUEST_LENGTH}`);
  }
  const { readRequest } = await import("./x509.js");
  const publicKeyPem = await readRequest(request).catch((error: unknown) => {
    throw invalidRequestError(error instanceof Error ? error.message : String(error));
  });
  if (publicKeyPem === undefined) {
    throw invalidRequestError("it is not signed with the private key of its public key");
  }
  const { namedCurve } = createPublicKey(publicKeyPem).asymmetricKeyDetails ?? {};
  if (namedCurve !== "prime256v1") throw invalidRequestError("its key is not a P-256 key");
  return publicKeyPem;
}

function invalidRequestError(reason: string): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message: `invalid certificate request: ${reason}` });
}

function certificateValues({ nowMs, backdateMs, durationMs }: Validity) {
  const serial = randomBytes(SERIAL_BYTES);
  // A serial number is positive and has no leading zero.
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return {
    serial: serial.toString("hex"),
    notBefore: new Date(nowMs - backdateMs),
    notAfter: new Date(nowMs + durationMs),
  };
}
