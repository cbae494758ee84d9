import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { Authority, BerthError } from "@berth/proto";
import { IdentityDirectory, replaceFile } from "@berth/proto/identity";
import { type ClusterKey, formatClusterKey, parseClusterKey } from "./cluster-key.js";
import { issuingAuthority, requireDecryptable, resealAuthority } from "./sealed-authority.js";

const IDENTITY_SUBDIRECTORY = "identity";
const CLUSTER_KEY_FILE = "cluster.key";
/** File with the CA that the first server created, as in etcd. A server that has joined does not have this file. */
const FIRST_AUTHORITY_FILE = "authority.json";
const ETCD_AUTHORITY_FILE = "etcd-authority.json";
/**
 * File with the servers that the cluster had when this server joined. The etcd member of this server is added to
 * theirs.
 */
const SERVERS_FILE = "servers";
/** File that exists from the start to the end of a join. A server with this file must not create a cluster. */
const JOINING_FILE = "joining";
/** File that exists once the cluster has removed this server, whose identity is never accepted again. */
const REMOVED_FILE = "removed";
/**
 * File that exists from the start to the end of a restore from a backup. A server with this file must not create a
 * cluster.
 */
const RESTORING_FILE = "restoring";
/** Directory of the certificate for etcd, which the server issues itself. */
const ETCD_DIRECTORY = "etcd";

/** The secrets that all servers of a cluster have. Their owner can issue any certificate of the cluster. */
export interface ClusterSecrets {
  readonly clusterKey: ClusterKey;
  /** The authorities that etcd trusts. One of them issues certificates; a rotation has several. */
  readonly etcdAuthorities: readonly Authority[];
}

/** The state of the identity in a directory. */
export type DirectoryState =
  /** There is no identity, or only the beginning of a cluster that has never run. */
  | { readonly kind: "none"; readonly hasBegunCluster: boolean }
  /** A join was interrupted. */
  | { readonly kind: "joining" }
  /** The cluster has removed this server. */
  | { readonly kind: "removed" }
  /** A restore from a backup was interrupted. */
  | { readonly kind: "restoring" }
  | { readonly kind: "complete" };

/**
 * The directory `identity` in the data directory of a server.
 *
 * The certificate is written last: a directory with a certificate is complete. Each file is replaced atomically.
 */
export class ServerDirectory {
  readonly identity: IdentityDirectory;

  private constructor(identity: IdentityDirectory) {
    this.identity = identity;
  }

  /**
   * Opens the directory, and creates it if it is missing.
   *
   * @throws BerthError BERTH_IDENTITY_INVALID for another owner
   */
  static async open(dataDir: string): Promise<ServerDirectory> {
    return new ServerDirectory(await IdentityDirectory.open(join(dataDir, IDENTITY_SUBDIRECTORY)));
  }

  get path(): string {
    return this.identity.path;
  }

  /** Path of the directory with the certificate for etcd. */
  get etcdPath(): string {
    return join(this.path, ETCD_DIRECTORY);
  }

  async state(): Promise<DirectoryState> {
    if ((await this.#readFile(REMOVED_FILE)) !== undefined) return { kind: "removed" };
    if ((await this.identity.load()) !== undefined) return { kind: "complete" };
    if ((await this.#readFile(JOINING_FILE)) !== undefined) return { kind: "joining" };
    if ((await this.#readFile(RESTORING_FILE)) !== undefined) return { kind: "restoring" };
    return { kind: "none", hasBegunCluster: (await this.#readFile(CLUSTER_KEY_FILE)) !== undefined };
  }

  /** Marks the directory as belonging to a joining server. */
  async beginJoin(): Promise<void> {
    await this.#replaceFile(
      JOINING_FILE,
      "This server has begun to join a cluster; run `berth server join`.\n",
    );
  }

  /** Marks the directory as belonging to a removed server. */
  async markRemoved(): Promise<void> {
    await this.#replaceFile(
      REMOVED_FILE,
      "This server was removed from its cluster with `berth server rm`.\n",
    );
  }

  async endJoin(): Promise<void> {
    await rm(join(this.path, JOINING_FILE), { force: true });
  }

  /** Stores the secrets that a joining server receives. Replaces the files of an earlier attempt. */
  async storeJoin(secrets: ClusterSecrets, servers: readonly string[]): Promise<void> {
    await this.storeSecrets(secrets);
    await this.#replaceFile(SERVERS_FILE, `${servers.join("\n")}\n`);
  }

  /** Stores the secrets of an existing cluster. */
  async storeSecrets({ clusterKey, etcdAuthorities }: ClusterSecrets): Promise<void> {
    await this.#replaceFile(CLUSTER_KEY_FILE, formatClusterKey(clusterKey));
    await this.storeEtcdAuthorities(etcdAuthorities);
  }

  /** Replaces the authorities that etcd trusts. The cluster key must decrypt them. */
  async storeEtcdAuthorities(authorities: readonly Authority[]): Promise<void> {
    await this.#replaceFile(ETCD_AUTHORITY_FILE, formatEtcdAuthorities(authorities));
  }

  /** Marks the directory as belonging to a server that is being restored from a backup. */
  async beginRestore(): Promise<void> {
    await this.#replaceFile(RESTORING_FILE, "A restore has begun; run `berth backup restore` again.\n");
  }

  async endRestore(): Promise<void> {
    await rm(join(this.path, RESTORING_FILE), { force: true });
  }

  /** Returns the "host:port" of the servers that the cluster had when this server joined. */
  async readServers(): Promise<readonly string[]> {
    const text = (await this.#readFile(SERVERS_FILE)) ?? "";
    return text.split("\n").filter((line) => line !== "");
  }

  /** Returns the cluster key. Stores the result of `create` first if there is none. */
  async getOrCreateClusterKey(create: () => ClusterKey): Promise<ClusterKey> {
    if ((await this.#readFile(CLUSTER_KEY_FILE)) === undefined) {
      await this.#replaceFile(CLUSTER_KEY_FILE, formatClusterKey(create()));
    }
    return this.#clusterKey();
  }

  /** Returns the first authority of a new cluster. Stores the result of `create` first if there is none. */
  async getOrCreateFirstAuthority(
    clusterKey: ClusterKey,
    create: () => Promise<Authority>,
  ): Promise<Authority> {
    if ((await this.#readFile(FIRST_AUTHORITY_FILE)) === undefined) {
      await this.#replaceFile(FIRST_AUTHORITY_FILE, formatAuthority(await create()));
    }
    return this.#requireFirstAuthority(clusterKey);
  }

  /** Creates the authority for etcd if it is missing. */
  async ensureEtcdAuthority(create: () => Promise<Authority>): Promise<void> {
    if ((await this.#readFile(ETCD_AUTHORITY_FILE)) === undefined) {
      await this.storeEtcdAuthorities([await create()]);
    }
  }

  /** @throws BerthError BERTH_IDENTITY_INVALID if a file is missing or damaged */
  async readSecrets(): Promise<ClusterSecrets> {
    const clusterKey = await this.#clusterKey();
    return { clusterKey, etcdAuthorities: await this.#requireEtcdAuthorities(clusterKey) };
  }

  /** Returns the authority that this server created; undefined on a server that has joined. */
  async readFirstAuthority(clusterKey: ClusterKey): Promise<Authority | undefined> {
    if ((await this.#readFile(FIRST_AUTHORITY_FILE)) === undefined) return undefined;
    return this.#requireFirstAuthority(clusterKey);
  }

  /** Replaces the cluster key. Files that are encrypted with it must open with one of its versions. */
  async storeClusterKey(clusterKey: Pick<ClusterKey, "versions">): Promise<void> {
    await this.#replaceFile(CLUSTER_KEY_FILE, formatClusterKey(clusterKey));
  }

  /** Re-encrypts the keys of the authorities in this directory with the encrypting version of `clusterKey`. */
  async resealAuthorities(clusterKey: ClusterKey): Promise<void> {
    const reseal = (authority: Authority): Authority => resealAuthority(clusterKey, authority);
    const first = await this.readFirstAuthority(clusterKey);
    if (first !== undefined) await this.#replaceFile(FIRST_AUTHORITY_FILE, formatAuthority(reseal(first)));
    const etcdAuthorities = await this.#requireEtcdAuthorities(clusterKey);
    await this.storeEtcdAuthorities(etcdAuthorities.map(reseal));
  }

  async #clusterKey(): Promise<ClusterKey> {
    return parseClusterKey(await this.#requireFile(CLUSTER_KEY_FILE));
  }

  #requireFirstAuthority(clusterKey: ClusterKey): Promise<Authority> {
    return this.#readJson(FIRST_AUTHORITY_FILE, (value) => parseAuthority(value, clusterKey));
  }

  #requireEtcdAuthorities(clusterKey: ClusterKey): Promise<readonly Authority[]> {
    return this.#readJson(ETCD_AUTHORITY_FILE, (value) => {
      const { others = [] }: { readonly others?: unknown } = Object(value);
      if (!Array.isArray(others)) throw new Error("others is not a list");
      return [value, ...others].map((entry) => parseAuthority(entry, clusterKey));
    });
  }

  async #readJson<T>(name: string, parse: (value: unknown) => T): Promise<T> {
    const text = await this.#requireFile(name);
    try {
      return parse(JSON.parse(text));
    } catch (error) {
      throw this.#invalidError(
        `cannot read ${name}: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }

  async #requireFile(name: string): Promise<string> {
    const text = await this.#readFile(name);
    if (text !== undefined) return text;
    throw this.#invalidError(`${name} is missing; copy it from another server, or join again`);
  }

  async #readFile(name: string): Promise<string | undefined> {
    try {
      return await readFile(join(this.path, name), "utf8");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Replaces a secret file atomically and durably: a new cluster key may encrypt records of an external etcd at once. */
  #replaceFile(name: string, text: string): Promise<void> {
    return replaceFile({ directory: this.path, name, text, mode: 0o600 });
  }

  #invalidError(reason: string): BerthError {
    return new BerthError({
      code: "BERTH_IDENTITY_INVALID",
      message: `cannot use the identity in ${this.path}: ${reason}`,
    });
  }
}

function formatAuthority(authority: Authority): string {
  return `${JSON.stringify(Authority.toJSON(authority))}\n`;
}

/** Earlier releases read the issuing authority only, and ignore `others`. */
function formatEtcdAuthorities(authorities: readonly Authority[]): string {
  const issuing = issuingAuthority(authorities);
  const otherAuthorities = authorities.filter((authority) => authority !== issuing);
  const others = otherAuthorities.map((authority) => Authority.toJSON(authority));
  const value = { ...Object(Authority.toJSON(issuing)), others: others.length === 0 ? undefined : others };
  return `${JSON.stringify(value)}\n`;
}

function parseAuthority(value: unknown, clusterKey: ClusterKey): Authority {
  const authority = Authority.fromJSON(value);
  requireDecryptable(clusterKey, authority);
  return authority;
}
