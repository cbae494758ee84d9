import type { SealingProgress } from "../core/cluster-key/rotation.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import { ETCD_AUTHORITIES_NAME } from "../state/record-kinds.js";
import { type ClusterKey, openWith, seal } from "./cluster-key.js";
import { createFileSealer, fileContext } from "./file-sealer.js";
import { loginContext } from "./login-sealer.js";
import { authorityContext } from "./sealed-authority.js";

/** A record with a part that is encrypted with the cluster key. */
interface SealedRecord {
  readonly sealed: Uint8Array;
  /** Describes the encrypted part, as in `seal`. */
  readonly context: string;
  /** Returns the change that stores the record with a new encrypted part. */
  readonly withSealed: (sealed: Buffer, content: Buffer) => Change;
}

/** The tables of the records with encrypted parts. */
export type SealedState = Pick<ClusterState, "files" | "authorities" | "etcdAuthorities" | "logins">;

/** Lists all records with encrypted parts. A new kind of record with such a part needs a loop here. */
export function* sealedRecords(
  { files, authorities, etcdAuthorities, logins }: SealedState,
  clusterKey: ClusterKey,
): Generator<SealedRecord> {
  for (const authority of authorities.values()) {
    yield {
      sealed: authority.sealedKey,
      context: authorityContext(authority.fingerprint),
      withSealed: (sealedKey) => ({ kind: "put-authority", authority: { ...authority, sealedKey } }),
    };
  }
  // The authority of etcd and the cluster key are never rotated at the same time, so there is at most one.
  for (const authority of etcdAuthorities?.authorities ?? []) {
    yield {
      sealed: authority.sealedKey,
      context: authorityContext(authority.fingerprint),
      withSealed: (sealedKey) => ({
        kind: "put-etcdAuthorities",
        name: ETCD_AUTHORITIES_NAME,
        etcdAuthorities: { authorities: [{ ...authority, sealedKey }], restartingServer: "" },
      }),
    };
  }
  for (const login of logins.values()) {
    yield {
      sealed: login.sealedSecret,
      context: loginContext(login),
      withSealed: (sealedSecret) => ({ kind: "put-login", login: { ...login, sealedSecret } }),
    };
  }
  const sealer = createFileSealer(clusterKey);
  for (const file of files.all()) {
    yield {
      sealed: file.sealedContent,
      context: fileContext(file),
      withSealed: (sealedContent, content) => ({
        kind: "put-file",
        file: { ...file, sealedContent, contentMac: sealer.mac(file, content) },
      }),
    };
  }
}

/** Limits of one pass over the records, which blocks the leader: about 10 ms. */
export interface PassLimits {
  /** Records to re-encrypt. Each is a change in the transaction. */
  readonly records: number;
  /** Bytes to decrypt. */
  readonly bytes: number;
}

/** Maximum number of records and of bytes that one pass encrypts again. */
export const PASS_LIMITS: PassLimits = { records: 32, bytes: 2 * 1024 * 1024 };

/** The result of one pass. */
export interface SealingPass {
  readonly changes: readonly Change[];
  /** Whether all records are encrypted with the key, without the changes. */
  readonly isDone: boolean;
}

/**
 * Encrypts records again with the key that encrypts now, in passes. Each pass continues where the one before stopped.
 * Remembers which records are done.
 */
export class RecordResealer {
  readonly #clusterKey: ClusterKey;
  readonly #limits: PassLimits;
  /** Encrypted parts that are known to be encrypted with the key. */
  readonly #done = new WeakSet<Uint8Array>();
  readonly #keyId: string;
  /** The remaining records of a walk over all records. The tables may change meanwhile. */
  #walk: Generator<SealedRecord> | undefined;

  constructor(clusterKey: ClusterKey, limits: PassLimits = PASS_LIMITS) {
    this.#clusterKey = clusterKey;
    this.#keyId = clusterKey.sealing.id;
    this.#limits = limits;
  }

  get keyId(): string {
    return this.#keyId;
  }

  /**
   * Returns the changes of the next pass.
   *
   * @throws BerthError BERTH_IDENTITY_INVALID for a record that cannot be decrypted
   */
  next(state: SealedState): SealingPass {
    const changes: Change[] = [];
    let bytes = 0;
    this.#walk ??= sealedRecords(state, this.#clusterKey);
    while (changes.length < this.#limits.records && bytes < this.#limits.bytes) {
      const { value: record, done } = this.#walk.next();
      if (done) {
        this.#walk = undefined;
        // Records may have been added behind the walk, and changes of earlier passes may have failed.
        return { changes, isDone: changes.length === 0 && this.#isDone(state) };
      }
      const { sealed, context, withSealed } = record;
      if (this.#done.has(sealed)) continue;
      bytes += sealed.length;
      const { content, keyId } = openWith(this.#clusterKey, sealed, context);
      if (keyId === this.#keyId) {
        this.#done.add(sealed);
      } else {
        changes.push(withSealed(seal(this.#clusterKey, content, context), content));
      }
    }
    return { changes, isDone: false };
  }

  #isDone(state: SealedState): boolean {
    const { sealed, total } = this.progress(state);
    return sealed === total;
  }

  /** Returns the number of records, and how many of them are known to be encrypted with the key. */
  progress(state: SealedState): SealingProgress {
    let sealed = 0;
    let total = 0;
    for (const record of sealedRecords(state, this.#clusterKey)) {
      total += 1;
      if (this.#done.has(record.sealed)) sealed += 1;
    }
    return { sealed, total };
  }
}
