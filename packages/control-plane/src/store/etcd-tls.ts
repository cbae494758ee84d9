import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { BerthError } from "@berth/proto";

/** The certificate that a server presents to etcd, and the CAs that it trusts there, in PEM. */
export interface EtcdTls {
  /** CA certificates that sign the certificates of etcd's members. */
  readonly authorities: string;
  /** Client certificate, with its intermediate certificates if it has any. */
  readonly certificate: string;
  readonly key: string;
}

/** Paths of the files with an `EtcdTls`. */
export interface EtcdTlsFiles {
  readonly authoritiesFile: string;
  readonly certificateFile: string;
  readonly keyFile: string;
}

/**
 * Lowest TLS version. etcd 3.4 supports TLS 1.2 and, if built with Go 1.13 or later, TLS 1.3. Both sides choose the
 * higher version, and TLS 1.3 detects attempts to lower it.
 */
export const MIN_TLS_VERSION = "TLSv1.2";

/** Maximum size of a certificate file. A bundle of the CA certificates of all public authorities has about 200 KiB. */
const MAX_FILE_BYTES = 1024 * 1024;

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Extended key usage (OID) of client certificates. */
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";

/**
 * Reads the files, and checks that TLS can use them. Does not check the subject or the issuer of the certificate,
 * because an external etcd may use any CA.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID that lists all problems
 */
export async function readEtcdTls(files: EtcdTlsFiles, nowMs: number): Promise<EtcdTls> {
  const { authoritiesFile, certificateFile, keyFile } = files;
  const problems: string[] = [];
  const authorities = await readText(authoritiesFile, problems);
  const certificate = await readText(certificateFile, problems);
  const keyText = await readText(keyFile, problems);
  if (authorities !== undefined) checkAuthorities(authoritiesFile, authorities, problems);
  const x509 = certificate === undefined ? undefined : parse(certificateFile, certificate, problems);
  const key = keyText === undefined ? undefined : parseKey(keyFile, keyText, problems);
  if (x509 !== undefined) checkCertificate(certificateFile, x509, nowMs, problems);
  if (x509 !== undefined && key !== undefined && !x509.checkPrivateKey(key)) {
    problems.push(
      `the key in ${keyFile} does not belong to the certificate in ${certificateFile}; use the key for which the certificate was issued`,
    );
  }
  if (
    authorities === undefined ||
    certificate === undefined ||
    keyText === undefined ||
    problems.length > 0
  ) {
    throw unusableCertificatesError(problems);
  }
  return { authorities, certificate, key: keyText };
}

/** @throws BerthError BERTH_IDENTITY_INVALID unless a member with this certificate can be reached at an address */
export function requireAddress(
  { certificateFile }: EtcdTlsFiles,
  { certificate }: EtcdTls,
  address: string,
): void {
  const x509 = new X509Certificate(certificate);
  if (x509.checkIP(address) !== undefined) return;
  const names = x509.subjectAltName ?? "no names";
  throw unusableCertificatesError([
    `the certificate in ${certificateFile} does not have the address ${address} of this server's etcd (${names}); issue a certificate with it`,
  ]);
}

// The functions below add a message to `problems` for each reason why a file cannot be used.

async function readText(path: string, problems: string[]): Promise<string | undefined> {
  try {
    const status = await stat(path);
    if (!status.isFile()) throw new Error("it is not a file");
    if (status.size > MAX_FILE_BYTES) {
      throw new Error(`it has ${status.size} bytes, more than ${MAX_FILE_BYTES}`);
    }
    return await readFile(path, "utf8");
  } catch (error) {
    problems.push(`cannot read ${path}: ${reasonOf(error)}; check its path and permissions`);
    return undefined;
  }
}

/** Checks each certificate of a bundle, because Node.js silently ignores certificates after a damaged one. */
function checkAuthorities(path: string, bundle: string, problems: string[]): void {
  const certificates = bundle.match(PEM_CERTIFICATE) ?? [];
  if (certificates.length === 0) problems.push(`${path} has no CA certificate in PEM`);
  for (const [index, pem] of certificates.entries()) {
    parse(`certificate ${index + 1} in ${path}`, pem, problems);
  }
}

function parse(source: string, text: string, problems: string[]): X509Certificate | undefined {
  try {
    return new X509Certificate(text);
  } catch (error) {
    problems.push(`${source} is not a certificate in PEM: ${reasonOf(error)}`);
    return undefined;
  }
}

function parseKey(path: string, text: string, problems: string[]): KeyObject | undefined {
  try {
    return createPrivateKey(text);
  } catch (error) {
    const isEncrypted = /ENCRYPTED/.test(text);
    problems.push(
      isEncrypted
        ? `the key in ${path} is encrypted; store it without a passphrase, readable only for the user that runs berth`
        : `${path} has no private key in PEM: ${reasonOf(error)}`,
    );
    return undefined;
  }
}

function checkCertificate(path: string, x509: X509Certificate, nowMs: number, problems: string[]): void {
  const now = formatTime(nowMs);
  const notBeforeMs = Date.parse(x509.validFrom);
  const notAfterMs = Date.parse(x509.validTo);
  if (nowMs > notAfterMs) {
    problems.push(
      `the certificate in ${path} expired at ${formatTime(notAfterMs)}, and it is ${now}; renew it, or correct this host's clock`,
    );
  }
  if (nowMs < notBeforeMs) {
    problems.push(
      `the certificate in ${path} is not valid before ${formatTime(notBeforeMs)}, and it is ${now}; correct this host's clock`,
    );
  }
  // Undefined for a certificate without this extension, which is valid for every usage.
  const usages: readonly string[] | undefined = x509.keyUsage;
  if (usages !== undefined && !usages.includes(CLIENT_AUTH)) {
    problems.push(
      `the certificate in ${path} is not a client certificate; issue one with the extended key usage clientAuth`,
    );
  }
}

function unusableCertificatesError(problems: readonly string[]): BerthError {
  const list = problems.map((problem) => `  ${problem}`).join("\n");
  return new BerthError({
    code: "BERTH_IDENTITY_INVALID",
    message: `cannot use the certificates for etcd:\n${list}`,
  });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function formatTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}
