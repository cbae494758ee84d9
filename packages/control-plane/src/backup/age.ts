import { createCipheriv, createDecipheriv, randomBytes, scrypt } from "node:crypto";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";
import { BerthError, isBerthError } from "@berth/proto";
import { Decrypter, Encrypter, type Identity, type Recipient, Stanza } from "age-encryption";

/** Protection of a new backup: a passphrase, or public keys such as "age1…". */
export type BackupProtection =
  | { readonly kind: "passphrase"; readonly passphrase: string }
  | { readonly kind: "recipients"; readonly recipients: readonly string[] };

/** Secret that decrypts a backup: its passphrase, or the private keys in a file ("AGE-SECRET-KEY-1…"). */
export type BackupKey =
  | { readonly kind: "passphrase"; readonly passphrase: string }
  | { readonly kind: "identities"; readonly identities: readonly string[] };

/** Minimum length of a passphrase. Shorter ones can be found by brute force. */
export const MIN_PASSPHRASE_LENGTH = 12;
const MAX_PASSPHRASE_LENGTH = 1_024;
const MAX_RECIPIENTS = 20;
/** Text that private keys of all types contain. */
const PRIVATE_KEY_PATTERN = /AGE-SECRET-KEY-/i;

/** Base-2 logarithm of the work factor: 256 MiB of memory and about a second for each attempt. The default of `age`. */
const SCRYPT_LOG_N = 18;
const SCRYPT_R = 8;
const SCRYPT_LABEL = "age-encryption.org/v1/scrypt";
/** Highest accepted work factor. A higher one would take minutes; `age` accepts up to 22. */
const MAX_SCRYPT_LOG_N = 20;
const SALT_BYTES = 16;
const KEY_BYTES = 32;
const CIPHER = "chacha20-poly1305";
const TAG_BYTES = 16;
/** Nonce of zeros, which the format requires because each key is used once. */
const ZERO_NONCE = Buffer.alloc(12);
/** Length of a file's encrypted key, including the tag. */
const WRAPPED_KEY_BYTES = 16 + TAG_BYTES;

const VERSION_LINE = "age-encryption.org/v1\n";
/** Maximum length of a header. Exceeds the header of a file with `MAX_RECIPIENTS` recipients. */
const MAX_HEADER_BYTES = 64 * 1_024;

/**
 * Encrypts bytes into a file of the age format, version 1.
 *
 * @throws BerthError BERTH_INPUT_INVALID for a passphrase or a key that cannot be used
 */
export async function encrypt(
  plaintext: AsyncIterable<Uint8Array>,
  protection: BackupProtection,
): Promise<AsyncIterable<Uint8Array>> {
  return readBytes(await createEncrypter(protection).encrypt(toStream(plaintext)));
}

/**
 * Checks a passphrase or public keys.
 *
 * @throws BerthError BERTH_INPUT_INVALID
 */
export function validateProtection(protection: BackupProtection): void {
  createEncrypter(protection);
}

function createEncrypter(protection: BackupProtection): Encrypter {
  const encrypter = new Encrypter();
  if (protection.kind === "passphrase") {
    const { length } = protection.passphrase;
    if (length < MIN_PASSPHRASE_LENGTH || length > MAX_PASSPHRASE_LENGTH) {
      throw invalidInputError(
        `the passphrase has ${length} characters; use ${MIN_PASSPHRASE_LENGTH} to ${MAX_PASSPHRASE_LENGTH} characters`,
      );
    }
    encrypter.addRecipient(new PassphraseRecipient(protection.passphrase));
    return encrypter;
  }
  const { recipients } = protection;
  if (recipients.length === 0 || recipients.length > MAX_RECIPIENTS) {
    throw invalidInputError(
      `a backup has ${recipients.length} recipients; use 1 to ${MAX_RECIPIENTS} public keys`,
    );
  }
  for (const recipient of recipients) {
    addRecipient(encrypter, recipient);
  }
  return encrypter;
}

function addRecipient(encrypter: Encrypter, recipient: string): void {
  if (PRIVATE_KEY_PATTERN.test(recipient)) {
    // The key is secret, so the error does not quote it.
    throw invalidInputError('a private key was given as a public key; use an age public key ("age1…")');
  }
  try {
    encrypter.addRecipient(recipient);
  } catch (cause) {
    throw invalidInputError(
      `invalid public key ${JSON.stringify(recipient.slice(0, 80))}; use an age public key ("age1…")`,
      cause,
    );
  }
}

/**
 * Encrypts the key of a file with a passphrase, as the library does, but derives the key with OpenSSL in the thread
 * pool. The library would block the leader's event loop for seconds.
 */
class PassphraseRecipient implements Recipient {
  readonly #passphrase: string;

  constructor(passphrase: string) {
    this.#passphrase = passphrase;
  }

  async wrapFileKey(fileKey: Uint8Array): Promise<Stanza[]> {
    const salt = randomBytes(SALT_BYTES);
    const key = await deriveKey(this.#passphrase, salt, SCRYPT_LOG_N);
    const cipher = createCipheriv(CIPHER, key, ZERO_NONCE, { authTagLength: TAG_BYTES });
    const body = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()]);
    return [new Stanza(["scrypt", salt.toString("base64").replace(/=+$/, ""), String(SCRYPT_LOG_N)], body)];
  }
}

/** Decrypts the key of a file with a passphrase, see `PassphraseRecipient`. */
class PassphraseIdentity implements Identity {
  readonly #fileName: string;
  readonly #passphrase: string;

  constructor(fileName: string, passphrase: string) {
    this.#fileName = fileName;
    this.#passphrase = passphrase;
  }

  /**
   * Returns null if the passphrase is wrong.
   *
   * @throws Error for an invalid header; BerthError BERTH_BACKUP_INVALID for a work factor that is too high
   */
  async unwrapFileKey(stanzas: Stanza[]): Promise<Uint8Array | null> {
    const [stanza, ...others] = stanzas;
    const [type, saltText = "", logNText = ""] = stanza?.args ?? [];
    const salt = Buffer.from(saltText, "base64");
    const logN = Number(logNText);
    const isValid = type === "scrypt" && salt.length === SALT_BYTES && others.length === 0;
    if (stanza?.body.length !== WRAPPED_KEY_BYTES || !isValid || !/^[1-9][0-9]?$/.test(logNText)) {
      throw new Error("invalid scrypt stanza");
    }
    if (logN > MAX_SCRYPT_LOG_N) {
      throw invalidBackupError(
        this.#fileName,
        `its scrypt work factor is ${logN}, and berth accepts at most ${MAX_SCRYPT_LOG_N}`,
      );
    }
    const key = await deriveKey(this.#passphrase, salt, logN);
    const body = Buffer.from(stanza.body);
    const decipher = createDecipheriv(CIPHER, key, ZERO_NONCE, { authTagLength: TAG_BYTES });
    decipher.setAuthTag(body.subarray(-TAG_BYTES));
    try {
      return Buffer.concat([decipher.update(body.subarray(0, -TAG_BYTES)), decipher.final()]);
    } catch {
      return null;
    }
  }
}

function deriveKey(passphrase: string, salt: Buffer, logN: number): Promise<Buffer> {
  const options = { N: 2 ** logN, r: SCRYPT_R, p: 1, maxmem: 256 * 2 ** logN * SCRYPT_R };
  return new Promise((resolve, reject) => {
    scrypt(
      passphrase,
      Buffer.concat([Buffer.from(SCRYPT_LABEL), salt]),
      KEY_BYTES,
      options,
      (error, derived) => {
        if (error === null) {
          resolve(derived);
        } else {
          reject(error);
        }
      },
    );
  });
}

/** How a file is encrypted, according to its header. */
type Encryption = "passphrase" | "recipients";

/**
 * Decrypts a file of the age format. `name` identifies the file in error messages. Iterating fails with
 * BERTH_BACKUP_INVALID when the file is damaged or truncated.
 *
 * @throws BerthError BERTH_BACKUP_INVALID for another format, a wrong passphrase or a wrong key
 */
export async function decrypt(
  name: string,
  ciphertext: AsyncIterable<Uint8Array>,
  key: BackupKey,
): Promise<AsyncIterable<Uint8Array>> {
  const chunks = ciphertext[Symbol.asyncIterator]();
  try {
    const start = await readStart(chunks);
    const encryption = detectEncryption(name, start);
    const decrypter = createDecrypter(name, key, encryption);
    const plaintext = decrypter.decrypt(toStream(prepend(start, chunks)));
    return readDecrypted(name, await plaintext.catch((cause) => throwHeaderError(name, encryption, cause)));
  } catch (error) {
    await chunks.return?.();
    throw error;
  }
}

function createDecrypter(name: string, key: BackupKey, encryption: Encryption): Decrypter {
  const decrypter = new Decrypter();
  if (key.kind === "passphrase") {
    if (encryption === "recipients") {
      throw invalidBackupError(
        name,
        "it is encrypted for a public key; use --identity-file with the private key",
      );
    }
    decrypter.addIdentity(new PassphraseIdentity(name, key.passphrase));
    return decrypter;
  }
  if (encryption === "passphrase") {
    throw invalidBackupError(
      name,
      "it is encrypted with a passphrase; use --passphrase-file, or enter the passphrase",
    );
  }
  for (const identity of key.identities) addIdentity(decrypter, identity);
  return decrypter;
}

/** Throws the error for a header that the library did not accept. */
function throwHeaderError(name: string, encryption: Encryption, cause: unknown): never {
  if (isBerthError(cause)) throw cause;
  // The library has no error codes. A test checks this message.
  const isWrongKey = cause instanceof Error && cause.message.startsWith("no identity matched");
  if (!isWrongKey) throw invalidBackupError(name, "its header is damaged", cause);
  const reason = encryption === "passphrase" ? "wrong passphrase" : "none of the private keys decrypts it";
  throw invalidBackupError(name, reason, cause);
}

function addIdentity(decrypter: Decrypter, identity: string): void {
  try {
    decrypter.addIdentity(identity);
  } catch (cause) {
    // The text is secret, so the error does not quote it.
    throw invalidInputError('invalid private key; use a line "AGE-SECRET-KEY-1…" from age-keygen', cause);
  }
}

/** Reads the first bytes of a file, enough for its header. */
async function readStart(chunks: AsyncIterator<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  while (bytes < MAX_HEADER_BYTES) {
    const next = await chunks.next();
    if (next.done) break;
    parts.push(next.value);
    bytes += next.value.length;
  }
  return Buffer.concat(parts);
}

function detectEncryption(name: string, start: Buffer): Encryption {
  if (!start.toString("latin1", 0, VERSION_LINE.length).startsWith(VERSION_LINE)) {
    throw invalidBackupError(name, "it does not start with the header of an age file, version 1");
  }
  return start.toString("latin1", VERSION_LINE.length, VERSION_LINE.length + 16).startsWith("-> scrypt ")
    ? "passphrase"
    : "recipients";
}

async function* prepend(start: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield start;
  yield* { [Symbol.asyncIterator]: () => rest };
}

async function* readDecrypted(name: string, stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* readBytes(stream);
  } catch (cause) {
    // The file could not be read, which says nothing about its content.
    if (isBerthError(cause)) throw cause;
    throw invalidBackupError(name, "it is damaged or truncated", cause);
  }
}

/** Converts the type: the library uses browser types, whose streams are not iterable. */
function readBytes(stream: ReadableStream<Uint8Array>): AsyncIterable<Uint8Array> {
  return stream as unknown as NodeReadableStream<Uint8Array>;
}

function toStream(bytes: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  return ReadableStream.from(bytes) as unknown as ReadableStream<Uint8Array>;
}

/** Returns the error for a file that cannot be read as a backup. */
export function invalidBackupError(name: string, reason: string, cause?: unknown): BerthError {
  return new BerthError({
    code: "BERTH_BACKUP_INVALID",
    message: `cannot read the backup ${name}: ${reason}`,
    cause,
  });
}

function invalidInputError(message: string, cause?: unknown): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message, cause });
}
