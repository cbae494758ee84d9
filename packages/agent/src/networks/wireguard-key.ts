import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import type { Logger } from "pino";
import type { StateDirectory } from "../runtime/state-directory.js";

const KEY_FILE = "wireguard.key";
const KEY_BYTES = 32;
/** The PKCS #8 header of an X25519 private key, whose 32 bytes follow (RFC 8410 §7). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b656e04220420", "hex");

/** A WireGuard key pair. Each key is 32 bytes in Base64, as `wg` reads and prints them. */
export interface WireguardKey {
  readonly privateKey: string;
  readonly publicKey: string;
}

/**
 * Reads the host's key pair from the agent's data directory, and generates it on the first start. Renames a damaged
 * file: the other hosts learn the new key just like the first one.
 */
export async function hostWireguardKey(
  stateDirectory: StateDirectory,
  log: Pick<Logger, "warn">,
): Promise<WireguardKey> {
  const stored = (await stateDirectory.read(KEY_FILE))?.trim();
  if (stored !== undefined) {
    if (Buffer.from(stored, "base64").length === KEY_BYTES) return keyFrom(stored);
    const quarantinedPath = await stateDirectory.quarantine(KEY_FILE);
    log.warn(
      `${stateDirectory.pathOf(KEY_FILE)} does not contain a key; renamed it to ${quarantinedPath} and created a new key`,
    );
  }
  const { privateKey } = generateKeyPairSync("x25519");
  const generated = rawKey(privateKey, "d");
  await stateDirectory.write(KEY_FILE, `${generated}\n`);
  return keyFrom(generated);
}

/** Derives the public key from a private key. */
export function keyFrom(privateKey: string): WireguardKey {
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_PREFIX, Buffer.from(privateKey, "base64")]),
    format: "der",
    type: "pkcs8",
  });
  return { privateKey, publicKey: rawKey(createPublicKey(key), "x") };
}

/** Returns the private ("d") or public ("x") part of a key in Base64. */
function rawKey(key: KeyObject, field: "d" | "x"): string {
  return Buffer.from(key.export({ format: "jwk" })[field] ?? "", "base64url").toString("base64");
}
