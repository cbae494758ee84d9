import { createPrivateKey, createPublicKey, generateKeyPairSync, type X509Certificate } from "node:crypto";
import { BerthError } from "../errors.js";

/** Creates a P-256 key. Returns it as PEM in PKCS #8. */
export function createKey(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}

/**
 * Returns whether a certificate is for this key.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID for text that is not a key
 */
export function isKeyOf(keyPem: string, certificate: X509Certificate): boolean {
  return publicKeyOf(keyPem).equals(certificate.publicKey);
}

function publicKeyOf(keyPem: string): ReturnType<typeof createPublicKey> {
  try {
    return createPublicKey(createPrivateKey(keyPem));
  } catch (error) {
    throw new BerthError({
      code: "BERTH_IDENTITY_INVALID",
      message: `cannot read the private key: ${error instanceof Error ? error.message : String(error)}`,
      cause: error,
    });
  }
}
