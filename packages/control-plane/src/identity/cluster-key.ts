import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { BerthError } from "@berth/proto";
import { Emitter } from "../runtime/emitter.js";

const ALGORITHM = "aes-256-gcm";
const KEY_BYTES = 32;
/** Length that NIST SP 800-38D recommends for random nonces. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HASH_ALGORITHM = "sha256";
const ID_INFO = "berth: id of the cluster key";
const ID_BYTES = 16;
const MAC_INFO = "berth: compare the contents of secrets and configs";

/** One key of 256 random bits. */
export interface KeyVersion {
  /** Reveals nothing about the key, and can be stored in etcd. */
  readonly id: string;
  readonly bytes: Buffer;
}

/**
 * Derives the ID of a key.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID for bytes of another length
 */
export function keyVersion(bytes: Uint8Array): KeyVersion {
  if (!isClusterKey(bytes)) throw invalidKeyError(`it has ${bytes.length} bytes instead of ${KEY_BYTES}`);
  const id = Buffer.from(hkdfSync(HASH_ALGORITHM, bytes, "", ID_INFO, ID_BYTES)).toString("hex");
  return { id, bytes: Buffer.from(bytes) };
}

export function createKeyVersion(): KeyVersion {
  return keyVersion(randomBytes(KEY_BYTES));
}

/**
 * The cluster key, which encrypts the private keys of the authorities and the contents of secrets and configs in etcd.
 * Only servers have it, in a file, and it is never stored in etcd. During a rotation, it has a current and a next
 * version.
 */
export class ClusterKey {
  #versions: readonly [KeyVersion, KeyVersion | undefined];
  #sealingId: string | undefined;
  readonly #changed = new Emitter();

  constructor(current: KeyVersion, next?: KeyVersion) {
    this.#versions = [current, next];
  }

  get current(): KeyVersion {
    return this.#versions[0];
  }

  get next(): KeyVersion | undefined {
    return this.#versions[1];
  }

  /** All versions, the current one first. */
  get versions(): readonly KeyVersion[] {
    return this.#versions.filter((version) => version !== undefined);
  }

  /** The version that encrypts. */
  get sealing(): KeyVersion {
    return this.find(this.#sealingId) ?? this.current;
  }

  find(id: string | undefined): KeyVersion | undefined {
    return this.versions.find((version) => version.id === id);
  }

  setVersions(current: KeyVersion, next: KeyVersion | undefined): void {
    this.#versions = [current, next];
    this.#changed.emit();
  }

  /** Encrypts with the version with this ID from now on, if it exists. */
  useForSealing(id: string | undefined): void {
    this.#sealingId = id;
  }

  /** Calls the listener when the versions have changed. The returned function removes the listener. */
  subscribe(listener: () => void): () => void {
    return this.#changed.on(listener);
  }

  /** Returns the keyed hash of the chunks by each version. The first one is by the encrypting version. */
  macs(chunks: readonly (string | Uint8Array)[]): readonly [Buffer, ...Buffer[]] {
    const otherVersions = this.versions.filter(({ id }) => id !== this.sealing.id);
    return [computeMac(this.sealing, chunks), ...otherVersions.map((version) => computeMac(version, chunks))];
  }
}

function computeMac({ bytes }: KeyVersion, chunks: readonly (string | Uint8Array)[]): Buffer {
  const macKey = Buffer.from(hkdfSync(HASH_ALGORITHM, bytes, "", MAC_INFO, KEY_BYTES));
  const hmac = createHmac(HASH_ALGORITHM, macKey);
  for (const chunk of chunks) hmac.update(chunk);
  return hmac.digest();
}

export function isClusterKey(bytes: Uint8Array): boolean {
  return bytes.length === KEY_BYTES;
}

export function createClusterKey(): ClusterKey {
  return new ClusterKey(createKeyVersion());
}

/** Returns the text of a key for its file: a line for each version, the current one first. */
export function formatClusterKey({ versions }: Pick<ClusterKey, "versions">): string {
  return versions.map(({ bytes }) => `${bytes.toString("hex")}\n`).join("");
}

/**
 * Parses the text of a key's file.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID
 */
export function parseClusterKey(text: string): ClusterKey {
  const lines = text.trim().split(/\s+/);
  const areKeys = lines.length <= 2 && lines.every((line) => /^[0-9a-f]{64}$/.test(line));
  const [current, next] = areKeys ? lines.map((line) => keyVersion(Buffer.from(line, "hex"))) : [];
  if (current === undefined) {
    throw invalidKeyError("it does not have one or two lines of 64 hexadecimal digits");
  }
  return new ClusterKey(current, next);
}

/** Encrypts a text or bytes. `context` describes the content; decryption succeeds only with the same context. */
export function seal(key: ClusterKey, content: string | Uint8Array, context: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, key.sealing.bytes, nonce).setAAD(Buffer.from(context));
  const encrypted = Buffer.concat([cipher.update(Buffer.from(content)), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), encrypted]);
}

/**
 * Decrypts a text.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID for a different key or context, or damaged data
 */
export function open(key: ClusterKey, sealed: Uint8Array, context: string): string {
  return openBytes(key, sealed, context).toString("utf8");
}

/**
 * Decrypts bytes.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID for a different key or context, or damaged data
 */
export function openBytes(key: ClusterKey, sealed: Uint8Array, context: string): Buffer {
  return openWith(key, sealed, context).content;
}

/** A decrypted content and the version that decrypted it. */
export interface Opened {
  readonly content: Buffer;
  readonly keyId: string;
}

/**
 * Decrypts with any version of the key.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID
 */
export function openWith(key: ClusterKey, sealed: Uint8Array, context: string): Opened {
  let failure: unknown;
  for (const version of key.versions) {
    try {
      return { content: decrypt(version, Buffer.from(sealed), context), keyId: version.id };
    } catch (error) {
      failure = error;
    }
  }
  throw new BerthError({
    code: "BERTH_IDENTITY_INVALID",
    message: `cannot decrypt ${context}: this server has a different cluster key, or the record is damaged; copy the cluster key from another server`,
    cause: failure,
  });
}

function decrypt({ bytes: key }: KeyVersion, sealed: Buffer, context: string): Buffer {
  const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(0, NONCE_BYTES))
    .setAAD(Buffer.from(context))
    .setAuthTag(sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
  const encrypted = sealed.subarray(NONCE_BYTES + TAG_BYTES);
  return Buffer.concat([decipher.update(encrypted), decipher.final()]);
}

function invalidKeyError(reason: string): BerthError {
  return new BerthError({
    code: "BERTH_IDENTITY_INVALID",
    message: `cannot read the cluster key: ${reason}; copy it from another server`,
  });
}
