import type { Authority } from "@berth/proto";
import type { HeldKeyIds } from "../core/cluster-key/held-keys.js";
import { ClusterKey, createKeyVersion, type KeyVersion } from "./cluster-key.js";
import { resealAuthority } from "./sealed-authority.js";
import type { ServerDirectory } from "./server-directory.js";

/**
 * The in-memory cluster key of a server, and the files that depend on it. Each step stores its result before it changes
 * the key in memory, so the stored key decrypts the files after a crash at any time.
 */
export class HeldClusterKey {
  readonly clusterKey: ClusterKey;
  readonly #directory: ServerDirectory;
  #etcdAuthorities: readonly Authority[];
  #firstAuthority: Authority | undefined;
  /** ID of a key that this server created for a rotation that is not in etcd yet. The key must not be dropped. */
  #reservedId: string | undefined;
  /** The last step. Steps do not overlap. */
  #lastStep: Promise<unknown> = Promise.resolve();

  private constructor(
    directory: ServerDirectory,
    clusterKey: ClusterKey,
    authorities: { readonly etcd: readonly Authority[]; readonly first: Authority | undefined },
  ) {
    this.#directory = directory;
    this.clusterKey = clusterKey;
    this.#etcdAuthorities = authorities.etcd;
    this.#firstAuthority = authorities.first;
  }

  /** @throws BerthError BERTH_IDENTITY_INVALID if a file is missing or damaged */
  static async load(directory: ServerDirectory): Promise<HeldClusterKey> {
    const { clusterKey, etcdAuthorities } = await directory.readSecrets();
    const first = await directory.readFirstAuthority(clusterKey);
    return new HeldClusterKey(directory, clusterKey, { etcd: etcdAuthorities, first });
  }

  get ids(): HeldKeyIds {
    const { current, next } = this.clusterKey;
    return { current: current.id, next: next?.id };
  }

  get etcdAuthorities(): readonly Authority[] {
    return this.#etcdAuthorities;
  }

  /** The authority that this server created; undefined on a server that has joined. */
  get firstAuthority(): Authority | undefined {
    return this.#firstAuthority;
  }

  /** Creates and stores the next key, and reserves it until a rotation uses it or `release` is called. */
  async reserveNext(): Promise<KeyVersion> {
    const next = createKeyVersion();
    this.#reservedId = next.id;
    await this.setNext(next);
    return next;
  }

  /** Ends the reservation of a key that no rotation uses. */
  release(): void {
    this.#reservedId = undefined;
  }

  /** Stores a key as the next key, replacing any other next key. */
  setNext(next: KeyVersion): Promise<void> {
    return this.#queueStep(() => this.#replaceNext(next));
  }

  /** Makes the next key the current one, and deletes the earlier key. */
  promoteNext(): Promise<void> {
    return this.#queueStep(async () => {
      const { current, next } = this.clusterKey;
      if (next === undefined) return;
      const both = new ClusterKey(current, next);
      both.useForSealing(next.id);
      await this.#sealFilesAgain(both);
      await this.#store(next, undefined);
    });
  }

  /** Deletes the next key, unless it is reserved. */
  dropNext(): Promise<void> {
    return this.#queueStep(async () => {
      const { next } = this.clusterKey;
      if (next !== undefined && next.id !== this.#reservedId) await this.#replaceNext(undefined);
    });
  }

  /**
   * Stores the authorities that etcd must trust, encrypted with the current key like the other files.
   *
   * @throws BerthError BERTH_IDENTITY_INVALID if the cluster key does not decrypt them
   */
  storeEtcdAuthorities(authorities: readonly Authority[]): Promise<void> {
    return this.#queueStep(async () => {
      const { current, next } = this.clusterKey;
      const key = new ClusterKey(current, next);
      const sealed = authorities.map((authority) => resealAuthority(key, authority));
      await this.#directory.storeEtcdAuthorities(sealed);
      this.#etcdAuthorities = sealed;
    });
  }

  async #replaceNext(next: KeyVersion | undefined): Promise<void> {
    const { current, next: replaced } = this.clusterKey;
    // After an interrupted promotion, files may be encrypted with the replaced key.
    if (replaced !== undefined && replaced.id !== next?.id) {
      await this.#sealFilesAgain(new ClusterKey(current, replaced));
    }
    await this.#store(current, next);
  }

  async #sealFilesAgain(key: ClusterKey): Promise<void> {
    await this.#directory.resealAuthorities(key);
    const { etcdAuthorities } = await this.#directory.readSecrets();
    this.#etcdAuthorities = etcdAuthorities;
    this.#firstAuthority = await this.#directory.readFirstAuthority(key);
  }

  async #store(current: KeyVersion, next: KeyVersion | undefined): Promise<void> {
    await this.#directory.storeClusterKey(new ClusterKey(current, next));
    this.clusterKey.setVersions(current, next);
  }

  #queueStep(run: () => Promise<void>): Promise<void> {
    const step = this.#lastStep.then(run);
    // The caller of this step sees the error; the next step runs in any case.
    this.#lastStep = step.catch(() => {});
    return step;
  }
}
