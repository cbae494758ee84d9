import { open as openFile, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Authority, BerthError } from "@berth/proto";
import { IdentityFolder } from "@berth/proto/identity";
import { type ClusterKey, formatClusterKey, parseClusterKey } from "./cluster-key.js";
import { requireOpenable, sealAuthorityAgain } from "./sealed-authority.js";

const FOLDER = "identity";
const CLUSTER_KEY_FILE = "cluster.key";
/** The authority for members that the first server created, as in etcd. A server that has joined does not have it. */
const FIRST_AUTHORITY_FILE = "authority.json";
const ETCD_AUTHORITY_FILE = "etcd-authority.json";
/** The servers that the cluster had when this server joined. Their etcd is to get another member. */
const SERVERS_FILE = "servers";
/** Exists from the start of a join until its end. A server with it must not create a cluster. */
const JOINING_FILE = "joining";
/** Exists after the cluster has removed this server. Its identity never counts again. */
const REMOVED_FILE = "removed";
/** Exists from the start of a restore from a backup until its end. A server with it must not create a cluster. */
const RESTORING_FILE = "restoring";
/** The certificate for etcd, which the server issues itself. */
const ETCD_FOLDER = "etcd";

/** The secrets that all servers of a cluster have. Their owner can issue any certificate of the cluster. */
export interface ClusterSecrets {
  readonly clusterKey: ClusterKey;
  readonly etcdAuthority: Authority;
}

/** How far the identity in a folder is. */
export type FolderState =
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
 * The folder `identity` in the data directory of a server.
 *
 * The certificate is written last: a folder with a certificate is complete. Each file is replaced atomically.
 */
export class ServerFolder {
  readonly identity: IdentityFolder;

  private constructor(identity: IdentityFolder) {
    this.identity = identity;
  }

  /** Opens the folder, and creates it if it is missing. @throws BerthError BERTH_IDENTITY_INVALID for another owner */
  static async open(dataDir: string): Promise<ServerFolder> {
    return new ServerFolder(await IdentityFolder.open(join(dataDir, FOLDER)));
  }

  get path(): string {
    return this.identity.path;
  }

  /** Path of the folder with the certificate for etcd. */
  get etcdPath(): string {
    return join(this.path, ETCD_FOLDER);
  }

  async state(): Promise<FolderState> {
    if ((await this.#read(REMOVED_FILE)) !== undefined) return { kind: "removed" };
    if ((await this.identity.load()) !== undefined) return { kind: "complete" };
    if ((await this.#read(JOINING_FILE)) !== undefined) return { kind: "joining" };
    if ((await this.#read(RESTORING_FILE)) !== undefined) return { kind: "restoring" };
    return { kind: "none", hasBegunCluster: (await this.#read(CLUSTER_KEY_FILE)) !== undefined };
  }

  /** Marks the folder as one of a server that joins. */
  async beginJoin(): Promise<void> {
    await this.#replace(JOINING_FILE, "This server has begun to join a cluster: run `berth server join`.\n");
  }

  /** Marks the folder as one of a server that the cluster has removed. */
  async markRemoved(): Promise<void> {
    await this.#replace(REMOVED_FILE, "This server was removed from its cluster with `berth server rm`.\n");
  }

  async endJoin(): Promise<void> {
    await rm(join(this.path, JOINING_FILE), { force: true });
  }

  /** Stores what a server gets when it joins. Replaces the files of an earlier attempt. */
  async storeJoin(secrets: ClusterSecrets, servers: readonly string[]): Promise<void> {
    await this.storeSecrets(secrets);
    await this.#replace(SERVERS_FILE, `${servers.join("\n")}\n`);
  }

  /** Stores the secrets of an existing cluster. */
  async storeSecrets({ clusterKey, etcdAuthority }: ClusterSecrets): Promise<void> {
    await this.#replace(CLUSTER_KEY_FILE, formatClusterKey(clusterKey));
    await this.#replace(ETCD_AUTHORITY_FILE, formatAuthority(etcdAuthority));
  }

  /** Marks the folder as one of a server that is restored from a backup. */
  async beginRestore(): Promise<void> {
    await this.#replace(RESTORING_FILE, "A restore has begun: run `berth backup restore` again.\n");
  }

  async endRestore(): Promise<void> {
    await rm(join(this.path, RESTORING_FILE), { force: true });
  }

  /** Returns the "host:port" of the servers that the cluster had when this server joined. */
  async readServers(): Promise<readonly string[]> {
    const text = (await this.#read(SERVERS_FILE)) ?? "";
    return text.split("\n").filter((line) => line !== "");
  }

  /** Returns the cluster key, which `create` makes if it is missing. */
  async clusterKeyOr(create: () => ClusterKey): Promise<ClusterKey> {
    if ((await this.#read(CLUSTER_KEY_FILE)) === undefined)
      await this.#replace(CLUSTER_KEY_FILE, formatClusterKey(create()));
    return this.#clusterKey();
  }

  /** Returns the first authority of a new cluster, which `create` makes if it is missing. */
  firstAuthorityOr(clusterKey: ClusterKey, create: () => Promise<Authority>): Promise<Authority> {
    return this.#authorityOr(FIRST_AUTHORITY_FILE, clusterKey, create);
  }

  /** Returns the authority for etcd, which `create` makes if it is missing. */
  etcdAuthorityOr(clusterKey: ClusterKey, create: () => Promise<Authority>): Promise<Authority> {
    return this.#authorityOr(ETCD_AUTHORITY_FILE, clusterKey, create);
  }

  /** @throws BerthError BERTH_IDENTITY_INVALID when a file is missing or damaged */
  async readSecrets(): Promise<ClusterSecrets> {
    const clusterKey = await this.#clusterKey();
    return { clusterKey, etcdAuthority: await this.#requireAuthority(ETCD_AUTHORITY_FILE, clusterKey) };
  }

  /** Returns the authority that this server created; undefined on a server that has joined. */
  async readFirstAuthority(clusterKey: ClusterKey): Promise<Authority | undefined> {
    if ((await this.#read(FIRST_AUTHORITY_FILE)) === undefined) return undefined;
    return this.#requireAuthority(FIRST_AUTHORITY_FILE, clusterKey);
  }

  /** Replaces the cluster key. Files that are encrypted with it must open with one of its versions. */
  async storeClusterKey(clusterKey: Pick<ClusterKey, "versions">): Promise<void> {
    await this.#replace(CLUSTER_KEY_FILE, formatClusterKey(clusterKey));
  }

  /** Encrypts the keys of the authorities in this folder again, with the version that `clusterKey` encrypts with. */
  async sealAuthoritiesAgain(clusterKey: ClusterKey): Promise<void> {
    for (const name of [FIRST_AUTHORITY_FILE, ETCD_AUTHORITY_FILE]) {
      if ((await this.#read(name)) === undefined) continue;
      const authority = await this.#requireAuthority(name, clusterKey);
      await this.#replace(name, formatAuthority(sealAuthorityAgain(clusterKey, authority)));
    }
  }

  async #authorityOr(
    name: string,
    clusterKey: ClusterKey,
    create: () => Promise<Authority>,
  ): Promise<Authority> {
    if ((await this.#read(name)) === undefined) await this.#replace(name, formatAuthority(await create()));
    return this.#requireAuthority(name, clusterKey);
  }

  async #clusterKey(): Promise<ClusterKey> {
    return parseClusterKey(await this.#require(CLUSTER_KEY_FILE));
  }

  async #requireAuthority(name: string, clusterKey: ClusterKey): Promise<Authority> {
    const text = await this.#require(name);
    try {
      const authority = Authority.fromJSON(JSON.parse(text));
      requireOpenable(clusterKey, authority);
      return authority;
    } catch (error) {
      throw this.#invalid(`cannot read ${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  async #require(name: string): Promise<string> {
    const text = await this.#read(name);
    if (text !== undefined) return text;
    throw this.#invalid(`${name} is missing: copy it from another server, or join again`);
  }

  async #read(name: string): Promise<string | undefined> {
    try {
      return await readFile(join(this.path, name), "utf8");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Replaces a secret file atomically. After a power failure it has either its old or its new text. */
  async #replace(name: string, text: string): Promise<void> {
    const temporary = join(this.path, `${name}.new`);
    // A leftover of a crash could have other permissions, or be a link.
    await rm(temporary, { force: true });
    const file = await openFile(temporary, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(this.path, name));
  }

  #invalid(why: string): BerthError {
    return new BerthError({
      code: "BERTH_IDENTITY_INVALID",
      message: `cannot use the identity in ${this.path}: ${why}`,
    });
  }
}

function formatAuthority(authority: Authority): string {
  return `${JSON.stringify(Authority.toJSON(authority))}\n`;
}
