import { dirname } from "node:path";
import { type Authority, BerthError } from "@berth/proto";
import {
  certificateFacts,
  createRequest,
  type IdentityDirectory,
  type IdentityFiles,
  parseCertificate,
  readAuthority,
} from "@berth/proto/identity";
import { RotatingIdentity, tlsMaterialOf } from "@berth/proto/rpc";
import { clusterIssuer } from "./certificate-issuer.js";
import { createClusterKey } from "./cluster-key.js";
import { HeldClusterKey } from "./held-cluster-key.js";
import { createSealedAuthority } from "./sealed-authority.js";
import { type ClusterSecrets, ServerDirectory } from "./server-directory.js";
import { serverRemovedError } from "./server-removed.js";

/** The credentials with which a server proves its identity and issues certificates. */
export interface ServerIdentity extends ClusterSecrets {
  /** The cluster key and its files, which change during a rotation. */
  readonly heldKey: HeldClusterKey;
  readonly serverId: string;
  readonly rpc: RotatingIdentity;
  /** Authority that the first leader stores in etcd. Undefined on a server that has joined. */
  readonly firstAuthority: Authority | undefined;
  /** "host:port" of the servers that the cluster had when this server joined. Empty on the first server. */
  readonly servers: readonly string[];
  /** The directory with the certificate of `rpc`. */
  readonly directory: IdentityDirectory;
  /** Path of the directory for the server's certificate for etcd. */
  readonly etcdPath: string;
}

export interface ServerIdentityOptions {
  /** The data directory of the server. */
  readonly dataDir: string;
  readonly nowMs: number;
  readonly newId: () => string;
}

/**
 * Returns the identity in a server's data directory. Creates a cluster, with its authorities, in an empty directory.
 *
 * A crash during the creation leaves files that the next start uses: the certificate is written last.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID if a file is missing or damaged, or a join was interrupted;
 *   BERTH_SERVER_REMOVED
 */
export async function openServerIdentity(options: ServerIdentityOptions): Promise<ServerIdentity> {
  const directory = await ServerDirectory.open(options.dataDir);
  return (await loadFrom(directory)) ?? (await createCluster(directory, options));
}

async function loadFrom(directory: ServerDirectory): Promise<ServerIdentity | undefined> {
  const { kind } = await directory.state();
  if (kind === "removed") throw serverRemovedError(dirname(directory.path));
  const files = await directory.identity.load();
  if (files === undefined) {
    if (kind === "joining") throw interruptedJoinError(directory.path);
    if (kind === "restoring") throw interruptedRestoreError(directory.path);
    return undefined;
  }
  // A crash can leave the mark of a join or restore that its certificate has completed.
  await directory.endJoin();
  await directory.endRestore();
  return identityOf(directory, files);
}

async function identityOf(directory: ServerDirectory, files: IdentityFiles): Promise<ServerIdentity> {
  const heldKey = await HeldClusterKey.load(directory);
  return {
    heldKey,
    clusterKey: heldKey.clusterKey,
    get etcdAuthorities() {
      return heldKey.etcdAuthorities;
    },
    get firstAuthority() {
      return heldKey.firstAuthority;
    },
    serverId: serverIdOf(files),
    rpc: new RotatingIdentity(tlsMaterialOf(files)),
    servers: await directory.readServers(),
    directory: directory.identity,
    etcdPath: directory.etcdPath,
  };
}

async function createCluster(
  directory: ServerDirectory,
  { nowMs, newId }: ServerIdentityOptions,
): Promise<ServerIdentity> {
  const clusterKey = await directory.getOrCreateClusterKey(createClusterKey);
  const first = await directory.getOrCreateFirstAuthority(clusterKey, () =>
    createSealedAuthority(clusterKey, `berth-${newId()}`, nowMs),
  );
  await directory.ensureEtcdAuthority(() =>
    createSealedAuthority(clusterKey, readAuthority(first.certificate).cluster, nowMs),
  );
  const issuer = clusterIssuer({ authorities: () => [first], clusterKey, wallClockMs: () => nowMs });
  const serverId = newId();
  const request = await createRequest(await directory.identity.prepareKey());
  const files = await directory.identity.store(await issuer.issue({ kind: "server", id: serverId }, request));
  return identityOf(directory, files);
}

/** @throws BerthError BERTH_IDENTITY_INVALID for the certificate of a node or user */
function serverIdOf({ certificate }: IdentityFiles): string {
  const { identity } = certificateFacts(parseCertificate(certificate));
  if (identity.kind === "server") return identity.id;
  throw new BerthError({
    code: "BERTH_IDENTITY_INVALID",
    message: `the data directory has the certificate of a ${identity.kind}; use another --data-dir for the server`,
  });
}

function interruptedJoinError(path: string): BerthError {
  return new BerthError({
    code: "BERTH_IDENTITY_INVALID",
    message: `this server has not finished joining its cluster (${path}); run "berth server join" again, or remove this directory to create a new cluster`,
  });
}

function interruptedRestoreError(path: string): BerthError {
  return new BerthError({
    code: "BERTH_IDENTITY_INVALID",
    message: `the restore of this server from a backup was interrupted (${path}); run "berth backup restore" again`,
  });
}
