import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { BerthError } from "@berth/proto";

/** Encrypts the private keys of the authorities in etcd, and the contents of secrets and configs. Only servers have it, in a file: it is never in etcd. */
export type ClusterKey = Buffer;

const ALGORITHM = "aes-256-gcm";
const KEY_BYTES = 32;
/** The length that NIST SP 800-38D recommends for random nonces. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export function isClusterKey(bytes: Buffer): boolean {
  return bytes.length === KEY_BYTES;
}

export function createClusterKey(): ClusterKey {
  return randomBytes(KEY_BYTES);
}

/** Returns the text of a key for its file. */
export function formatClusterKey(key: ClusterKey): string {
  return `${key.toString("hex")}\n`;
}

/** Parses the text of a key's file. @throws BerthError BERTH_IDENTITY_INVALID */
export function parseClusterKey(text: string): ClusterKey {
  const trimmed = text.trim();
  if (/^[0-9a-f]{64}$/.test(trimmed)) return Buffer.from(trimmed, "hex");
  throw new BerthError({
    code: "BERTH_IDENTITY_INVALID",
    message:
      "cannot read the cluster key: it does not have 64 hexadecimal digits: copy it from another server",
  });
}

/** Encrypts a text or bytes. `context` says what they are: they open only with the same context. */
export function seal(key: ClusterKey, content: string | Uint8Array, context: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, key, nonce).setAAD(Buffer.from(context));
  const encrypted = Buffer.concat([cipher.update(Buffer.from(content)), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), encrypted]);
}

/** Decrypts a text. @throws BerthError BERTH_IDENTITY_INVALID for another key, another context or damage */
export function open(key: ClusterKey, sealed: Uint8Array, context: string): string {
  return openBytes(key, sealed, context).toString("utf8");
}

/** Decrypts what `seal` returned. @throws BerthError BERTH_IDENTITY_INVALID for another key, another context or damage */
export function openBytes(key: ClusterKey, sealed: Uint8Array, context: string): Buffer {
  const bytes = Buffer.from(sealed);
  try {
    const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, NONCE_BYTES))
      .setAAD(Buffer.from(context))
      .setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
    const encrypted = bytes.subarray(NONCE_BYTES + TAG_BYTES);
    return Buffer.concat([decipher.update(encrypted), decipher.final()]);
  } catch (error) {
    throw new BerthError({
      code: "BERTH_IDENTITY_INVALID",
      message: `cannot decrypt ${context}: this server has another cluster key, or the record is damaged: copy the cluster key from another server`,
      cause: error,
    });
  }
}
