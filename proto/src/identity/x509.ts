// @peculiar/x509 needs the metadata API when it is loaded.
import "reflect-metadata";
import { createPrivateKey, createPublicKey, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  GeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";

// Creates certificates and requests with @peculiar/x509, which costs about 20 MiB of memory. Load this module with
// `import()`, and only where certificates are issued or requested. Certificates are verified with `node:crypto`.

const KEY_ALGORITHM = { name: "ECDSA", namedCurve: "P-256" };
const SIGNATURE_ALGORITHM = { name: "ECDSA", hash: "SHA-256" };

export interface CertificateValues {
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface SelfSignedValues extends CertificateValues {
  readonly commonName: string;
  readonly uri: string;
  readonly keyPem: string;
}

/** The issuer of a certificate, and the key that it certifies. */
export interface SignedValues extends CertificateValues {
  readonly commonName: string;
  readonly issuerCertificatePem: string;
  readonly issuerSubject: string;
  readonly issuerKeyPem: string;
  readonly publicKeyPem: string;
  readonly uri: string;
}

export interface LeafValues extends SignedValues {
  /** IP addresses and DNS names. */
  readonly hosts: readonly string[];
}

/** Returns a CA certificate that is signed with its own key, in PEM. */
export async function createAuthorityCertificate(values: SelfSignedValues): Promise<string> {
  const keys = await importKeyPair(values.keyPem);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    ...validityOf(values),
    name: nameOf(values.commonName),
    keys,
    extensions: await authorityExtensions(keys.publicKey, values.uri),
  });
  return `${certificate.toString("pem")}\n`;
}

/** Returns a CA certificate for the key of another authority, signed by the issuer, in PEM. */
export async function createCrossCertificate(values: SignedValues): Promise<string> {
  const publicKey = await importPublicKey(values.publicKeyPem);
  return signCertificate(values, publicKey, await authorityExtensions(publicKey, values.uri));
}

/** Returns a certificate for clients and servers, signed by the issuer, in PEM. */
export async function createLeafCertificate(values: LeafValues): Promise<string> {
  const publicKey = await importPublicKey(values.publicKeyPem);
  const names = [
    new GeneralName("url", values.uri),
    ...values.hosts.map((host) => new GeneralName(isIP(host) === 0 ? "dns" : "ip", host)),
  ];
  return signCertificate(values, publicKey, [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
    new SubjectAlternativeNameExtension(names),
    await SubjectKeyIdentifierExtension.create(publicKey),
  ]);
}

async function signCertificate(
  values: SignedValues,
  publicKey: webcrypto.CryptoKey,
  extensions: readonly Extension[],
): Promise<string> {
  const certificate = await X509CertificateGenerator.create({
    ...validityOf(values),
    subject: nameOf(values.commonName),
    issuer: values.issuerSubject,
    publicKey,
    signingKey: await importPrivateKey(values.issuerKeyPem),
    extensions: [
      ...extensions,
      await AuthorityKeyIdentifierExtension.create(await importPublicKey(values.issuerCertificatePem)),
    ],
  });
  return `${certificate.toString("pem")}\n`;
}

async function authorityExtensions(publicKey: webcrypto.CryptoKey, uri: string): Promise<Extension[]> {
  return [
    // No limit of the path length: later authorities are cross-signed, so paths through them grow.
    new BasicConstraintsExtension(true, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    new SubjectAlternativeNameExtension([new GeneralName("url", uri)]),
    await SubjectKeyIdentifierExtension.create(publicKey),
  ];
}

/** Returns a certificate request for a key, in PEM. It names no identity, since the authority decides about that. */
export async function createRequestPem(keyPem: string): Promise<string> {
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: nameOf("berth"),
    keys: await importKeyPair(keyPem),
    signingAlgorithm: SIGNATURE_ALGORITHM,
  });
  return `${request.toString("pem")}\n`;
}

/**
 * Returns the public key of a request in PEM; undefined unless the request is signed with the private key of that key.
 *
 * @throws for text that is not a request
 */
export async function readRequest(requestPem: string): Promise<string | undefined> {
  const request = new Pkcs10CertificateRequest(requestPem);
  const publicKeyPem = request.publicKey.toString("pem");
  return (await request.verify()) ? publicKeyPem : undefined;
}

function validityOf({ serial, notBefore, notAfter }: CertificateValues) {
  return { serialNumber: serial, notBefore, notAfter, signingAlgorithm: SIGNATURE_ALGORITHM };
}

function nameOf(commonName: string): { CN: string[] }[] {
  return [{ CN: [commonName] }];
}

async function importKeyPair(keyPem: string) {
  return { privateKey: await importPrivateKey(keyPem), publicKey: await importPublicKey(keyPem) };
}

function importPrivateKey(pem: string) {
  const der = createPrivateKey(pem).export({ type: "pkcs8", format: "der" });
  return webcrypto.subtle.importKey("pkcs8", der, KEY_ALGORITHM, false, ["sign"]);
}

/** Imports the public key of a private key, public key or certificate. */
function importPublicKey(pem: string) {
  const der = createPublicKey(pem).export({ type: "spki", format: "der" });
  return webcrypto.subtle.importKey("spki", der, KEY_ALGORITHM, true, ["verify"]);
}
