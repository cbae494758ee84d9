import { BerthError, JoinKind, type JoinResponse } from "@berth/proto";
import {
  certificateFacts,
  joinKindWord,
  parseCertificate,
  parseJoinToken,
  readAuthority,
  readTrust,
} from "@berth/proto/identity";
import { requestJoin } from "@berth/proto/rpc";
import { ClusterKey, isClusterKey, keyVersion } from "../identity/cluster-key.js";
import { requireDecryptable } from "../identity/sealed-authority.js";
import { type ClusterSecrets, type DirectoryState, ServerDirectory } from "../identity/server-directory.js";
import { hasEtcdData } from "../store/embedded/cluster.js";
import { DataDir } from "../store/embedded/data-dir.js";

export interface JoinServerOptions {
  /** "host:port" of a server of the cluster. */
  readonly address: string;
  /** The text of a join token. */
  readonly token: string;
  /** Name of this host. */
  readonly hostname: string;
  readonly dataDir: string;
}

/** The server that has joined. */
export interface JoinedServer {
  readonly cluster: string;
  readonly serverId: string;
}

/**
 * Joins a cluster as a server: writes the certificate, the cluster key and the authority for etcd into the data
 * directory.
 *
 * A crash at any time leaves a directory with which the join can be repeated. Only the server's certificate, which is
 * written last, makes the directory usable.
 *
 * @throws BerthError BERTH_INPUT_INVALID for a data directory of another cluster, BERTH_ETCD_DATA_LOCKED while a server
 *   runs with it, BERTH_TOKEN_INVALID, BERTH_AUTHORITY_MISMATCH, BERTH_SERVER_UNREACHABLE, BERTH_IDENTITY_INVALID
 */
export async function joinServer(
  { address, token, hostname, dataDir }: JoinServerOptions,
  signal: AbortSignal,
): Promise<JoinedServer> {
  requireServerToken(token);
  // Excludes a running server, and a second join.
  const claim = await DataDir.claim(dataDir);
  try {
    const directory = await ServerDirectory.open(dataDir);
    requireJoinable(await directory.state(), dataDir);
    if (hasEtcdData(claim.path)) {
      throw dataDirInUseError(claim.path, "it has the etcd data of another cluster");
    }
    await directory.beginJoin();
    const response = await requestJoin({ address, token, hostname, directory: directory.identity }, signal);
    await directory.storeJoin(secretsOf(response), response.servers);
    const { certificate } = await directory.identity.store(response);
    await directory.endJoin();
    const { cluster, identity } = certificateFacts(parseCertificate(certificate));
    return { cluster, serverId: identity.kind === "server" ? identity.id : "" };
  } finally {
    claim.release();
  }
}

/** Rejects other tokens before they are sent. */
function requireServerToken(token: string): void {
  const { kind } = parseJoinToken(token);
  if (kind === JoinKind.SERVER) return;
  throw new BerthError({
    code: "BERTH_TOKEN_INVALID",
    message: `this join token is for a ${joinKindWord(kind)}; create one with "berth token create --role server"`,
  });
}

/** @throws BerthError BERTH_INPUT_INVALID if the data directory contains an identity */
function requireJoinable(state: DirectoryState, dataDir: string): void {
  if (state.kind === "removed") {
    throw dataDirInUseError(dataDir, "this server was removed from its cluster");
  }
  if (state.kind === "complete") {
    throw dataDirInUseError(dataDir, "this server is already in a cluster, and starts without joining again");
  }
  if (state.kind === "restoring") {
    throw dataDirInUseError(dataDir, 'a restore has begun; run "berth backup restore" again');
  }
  if (state.kind === "none" && state.hasBegunCluster) {
    throw dataDirInUseError(dataDir, "this server has begun to create a cluster");
  }
}

/**
 * Returns the secrets that a server receives in addition to its certificate.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID unless they match the certificate
 */
function secretsOf({ server, certificate, authorities }: JoinResponse): ClusterSecrets {
  const keyBytes = server?.clusterKey ?? Buffer.alloc(0);
  const etcdAuthority = server?.etcdAuthority;
  const otherAuthorities = server?.otherEtcdAuthorities ?? [];
  const { identity } = certificateFacts(parseCertificate(certificate));
  if (etcdAuthority === undefined || !isClusterKey(keyBytes) || identity.kind !== "server") {
    throw invalidResponseError(
      "it lacks the cluster key, the authority for etcd, or a certificate of a server",
    );
  }
  const clusterKey = new ClusterKey(keyVersion(keyBytes));
  const etcdAuthorities = [etcdAuthority, ...otherAuthorities];
  const { cluster } = readTrust(authorities);
  for (const authority of etcdAuthorities) {
    requireDecryptable(clusterKey, authority);
    if (readAuthority(authority.certificate).cluster !== cluster) {
      throw invalidResponseError(`an authority for etcd does not belong to the cluster ${cluster}`);
    }
  }
  return { clusterKey, etcdAuthorities };
}

function invalidResponseError(reason: string): BerthError {
  return new BerthError({
    code: "BERTH_IDENTITY_INVALID",
    message: `cannot use the response of the cluster: ${reason}: the servers may have different versions`,
  });
}

function dataDirInUseError(dataDir: string, reason: string): BerthError {
  return new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `cannot join with the data directory ${dataDir}: ${reason}; use an empty --data-dir to join`,
    details: { dataDir },
  });
}
