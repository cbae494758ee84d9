import { chmod, lstat, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { createDirectory } from "../create-directory.js";
import { BerthError } from "../errors.js";
import { type CertificateFacts, certificateFacts, parseCertificate, readTrust } from "./certificate.js";
import { createKey, isKeyOf } from "./private-key.js";
import { replaceFile, syncDirectory } from "./replace-file.js";

/** The identity of a host: its certificate, its key, and the CA certificates that it trusts, all in PEM. */
export interface IdentityFiles {
  readonly certificate: string;
  readonly key: string;
  readonly authorities: string;
}

/** Paths of the files of an identity. */
export interface IdentityPaths {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly authoritiesFile: string;
}

/** The functions of `node:fs/promises` that this class uses. Tests interrupt them. */
export type IdentityFileSystem = Readonly<{
  chmod: typeof chmod;
  lstat: typeof lstat;
  open: typeof open;
  readFile: typeof readFile;
  rename: typeof rename;
  rm: typeof rm;
}>;

const CERTIFICATE_FILE = "certificate.pem";
const KEY_FILE = "key.pem";
/** File with the key of a certificate that has been requested, until the certificate is stored. */
const NEXT_KEY_FILE = "key.next.pem";
const AUTHORITIES_FILE = "authorities.pem";

const DIRECTORY_MODE = 0o700;
const OWNER_ONLY_MODE = 0o600;
const WORLD_READABLE_MODE = 0o644;

const NODE_FILE_SYSTEM: IdentityFileSystem = { chmod, lstat, open, readFile, rename, rm };

/**
 * The directory with the identity of a host.
 *
 * A crash at any time leaves either the old identity or the new one. Each file is replaced atomically, and a new key is
 * kept in a separate file until its certificate is stored: the key that matches the certificate is the current one.
 */
export class IdentityDirectory {
  readonly path: string;
  readonly #files: IdentityFileSystem;

  private constructor(path: string, files: IdentityFileSystem) {
    this.path = path;
    this.#files = files;
  }

  /**
   * Opens the directory, and creates it if it is missing. Removes all permissions except the owner's.
   *
   * @throws BerthError BERTH_IDENTITY_INVALID if another user owns it, or if it is not a directory
   */
  static async open(path: string, files: IdentityFileSystem = NODE_FILE_SYSTEM): Promise<IdentityDirectory> {
    await createDirectory(path, DIRECTORY_MODE);
    const directory = new IdentityDirectory(path, files);
    await directory.#restrictAccess(path, DIRECTORY_MODE);
    return directory;
  }

  /** Paths of the files, for programs such as etcd that read them. */
  get paths(): IdentityPaths {
    return {
      certificateFile: join(this.path, CERTIFICATE_FILE),
      keyFile: join(this.path, KEY_FILE),
      authoritiesFile: join(this.path, AUTHORITIES_FILE),
    };
  }

  /**
   * Returns the identity, or undefined if no certificate has been stored.
   *
   * @throws BerthError BERTH_IDENTITY_INVALID if a file is missing or damaged
   */
  async load(): Promise<IdentityFiles | undefined> {
    const certificate = await this.#read(CERTIFICATE_FILE);
    if (certificate === undefined) return undefined;
    const authorities = await this.#read(AUTHORITIES_FILE);
    if (authorities === undefined) throw this.#invalid(`${AUTHORITIES_FILE} is missing`);
    const { key, isNext } = await this.#findKey(certificate, authorities);
    // A crash occurred between storing the certificate and its key.
    if (isNext) await this.#promoteNextKey();
    return { certificate, key, authorities };
  }

  /** Returns the key for the next certificate, and creates it if it is missing. It stays the same until `store`. */
  async prepareKey(): Promise<string> {
    const existing = await this.#readKey(NEXT_KEY_FILE);
    if (existing !== undefined) return existing;
    const key = createKey();
    await this.#replace(NEXT_KEY_FILE, key, OWNER_ONLY_MODE);
    return key;
  }

  /**
   * Stores a certificate for the key that `prepareKey` returned, or for the current key, and the authorities.
   *
   * @throws BerthError BERTH_IDENTITY_INVALID if the certificate matches neither key
   */
  async store({ certificate, authorities }: Omit<IdentityFiles, "key">): Promise<IdentityFiles> {
    const { key, isNext } = await this.#findKey(certificate, authorities);
    await this.#replace(AUTHORITIES_FILE, authorities, WORLD_READABLE_MODE);
    await this.#replace(CERTIFICATE_FILE, certificate, WORLD_READABLE_MODE);
    if (isNext) await this.#promoteNextKey();
    return { certificate, key, authorities };
  }

  /** Replaces the trusted authorities, for example when a successor of the CA is announced. */
  async storeAuthorities(authorities: string): Promise<void> {
    readTrust(authorities);
    await this.#replace(AUTHORITIES_FILE, authorities, WORLD_READABLE_MODE);
  }

  /** Finds the key of a certificate. The certificate and the authorities are read first, which detects damage. */
  async #findKey(certificate: string, authorities: string): Promise<{ key: string; isNext: boolean }> {
    const x509 = this.#readIdentity(certificate, authorities);
    for (const name of [KEY_FILE, NEXT_KEY_FILE]) {
      const key = await this.#readKey(name);
      if (key !== undefined && isKeyOf(key, x509)) return { key, isNext: name === NEXT_KEY_FILE };
    }
    throw this.#invalid(`no key matches the certificate with the serial number ${x509.serialNumber}`);
  }

  #readIdentity(certificate: string, authorities: string): ReturnType<typeof parseCertificate> {
    try {
      const x509 = parseCertificate(certificate);
      const facts: CertificateFacts = certificateFacts(x509);
      const trust = readTrust(authorities);
      if (trust.cluster === facts.cluster) return x509;
      throw new Error(
        `the certificate belongs to the cluster ${facts.cluster}, but the CA to ${trust.cluster}`,
      );
    } catch (error) {
      throw this.#invalid(error instanceof Error ? error.message : String(error), error);
    }
  }

  /** Makes the next key the current one, unless another process that loads the identity has just done so. */
  async #promoteNextKey(): Promise<void> {
    try {
      await this.#files.rename(join(this.path, NEXT_KEY_FILE), join(this.path, KEY_FILE));
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    await syncDirectory(this.path, this.#files);
  }

  async #readKey(name: string): Promise<string | undefined> {
    const key = await this.#read(name);
    if (key !== undefined) await this.#restrictAccess(join(this.path, name), OWNER_ONLY_MODE);
    return key;
  }

  async #read(name: string): Promise<string | undefined> {
    try {
      return await this.#files.readFile(join(this.path, name), "utf8");
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  #replace(name: string, text: string, mode: number): Promise<void> {
    return replaceFile({ directory: this.path, name, text, mode }, this.#files);
  }

  /** Checks the owner of a file or directory, and removes the permissions of others. */
  async #restrictAccess(path: string, mode: number): Promise<void> {
    const status = await this.#files.lstat(path);
    const isExpectedType = mode === DIRECTORY_MODE ? status.isDirectory() : status.isFile();
    if (!isExpectedType) {
      throw this.#invalid(`${path} is not a ${mode === DIRECTORY_MODE ? "directory" : "file"}`);
    }
    const user = process.geteuid?.();
    if (user !== undefined && status.uid !== user) {
      throw this.#invalid(
        `${path} belongs to the user ${status.uid}, not to ${user} who runs berth; change its owner`,
      );
    }
    if ((status.mode & 0o777) !== mode) await this.#files.chmod(path, mode);
  }

  #invalid(reason: string, cause?: unknown): BerthError {
    return new BerthError({
      code: "BERTH_IDENTITY_INVALID",
      message: `cannot use the identity in ${this.path}: ${reason}`,
      cause,
    });
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
