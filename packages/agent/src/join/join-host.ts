import { BerthError, JoinKind } from "@berth/proto";
import { createDirectory } from "@berth/proto/create-directory";
import {
  certificateFacts,
  IdentityDirectory,
  joinKindWord,
  parseCertificate,
  parseJoinToken,
} from "@berth/proto/identity";
import { joinCluster } from "@berth/proto/rpc";
import {
  ownAddresses,
  readAdvertiseAddress,
  requireReachable,
  writeAdvertiseAddress,
} from "../agent/advertise-address.js";
import { writeFirstState } from "../agent/state-file.js";
import { identityPath, nodeIdOf } from "../identity/host-identity.js";
import { lockDataDir } from "../runtime/process-lock.js";
import { openStateDirectory } from "../runtime/state-directory.js";

export interface JoinHostOptions {
  /** "host:port" of a server. */
  readonly address: string;
  readonly dataDir: string;
  /** The name that the agent reports. */
  readonly hostname: string;
  /** The IP address at which other hosts reach this host, for `berth agent`. Undefined to keep the current one. */
  readonly advertise: string | undefined;
  /** Whether to join even if the host has joined before. */
  readonly force: boolean;
  /** Reads the join token. Called after checking that the host may join. */
  readonly readToken: () => Promise<string>;
}

export interface JoinedHost {
  readonly cluster: string;
  readonly nodeId: string;
  readonly hostname: string;
  /** The address that is stored for `berth agent`. */
  readonly advertise: string | undefined;
  /** SHA-256 of the cluster's CA certificate. */
  readonly caFingerprint: string;
  readonly servers: readonly string[];
  readonly validUntilMs: number;
  readonly awaitsApproval: boolean;
}

/**
 * Gets a certificate for this host, and stores it together with the servers for the agent.
 *
 * Can be repeated after a crash: the certificate is stored last, and the key stays the same until then. The cluster
 * counts requests with the same token and key as one use.
 *
 * @throws BerthError BERTH_CONFLICT, BERTH_TOKEN_INVALID, BERTH_AUTHORITY_MISMATCH, BERTH_SERVER_UNREACHABLE
 */
export async function joinHost(options: JoinHostOptions, signal: AbortSignal): Promise<JoinedHost> {
  const { dataDir } = options;
  await createDirectory(dataDir, 0o700);
  const lock = await lockDataDir(dataDir, "agent");
  if (lock === undefined) {
    throw new BerthError({
      code: "BERTH_CONFLICT",
      message: `an agent uses ${dataDir}; stop it before this host joins a cluster`,
    });
  }
  try {
    return await joinWithLock(options, signal);
  } finally {
    lock.release();
  }
}

async function joinWithLock(
  { address, dataDir, hostname, advertise, force, readToken }: JoinHostOptions,
  signal: AbortSignal,
): Promise<JoinedHost> {
  const directory = await IdentityDirectory.open(identityPath(dataDir));
  if (!force) await requireNotJoined(directory);
  if (advertise !== undefined) requireReachable(advertise, { servers: [address], own: ownAddresses() });
  const token = await readToken();
  const { kind, caFingerprint } = parseJoinToken(token);
  if (kind !== JoinKind.NODE) throw wrongTokenKindError(kind);
  const stateDirectory = openStateDirectory(dataDir);
  // After a crash, the agent has the certificate and knows at least this server.
  await writeFirstState(stateDirectory, [address]);
  if (advertise !== undefined) await writeAdvertiseAddress(stateDirectory, advertise);
  const { files, servers, awaitsApproval } = await joinCluster(
    { address, token, hostname, directory },
    signal,
  );
  const knownServers = servers.length === 0 ? [address] : servers;
  await writeFirstState(stateDirectory, knownServers);
  const { cluster, notAfterMs } = certificateFacts(parseCertificate(files.certificate));
  return {
    cluster,
    hostname,
    caFingerprint,
    servers: knownServers,
    awaitsApproval,
    nodeId: nodeIdOf(files.certificate),
    advertise: await readAdvertiseAddress(stateDirectory),
    validUntilMs: notAfterMs,
  };
}

/**
 * Checks that this host has not joined a cluster.
 *
 * @throws BerthError BERTH_CONFLICT if the directory has a certificate
 */
async function requireNotJoined(directory: IdentityDirectory): Promise<void> {
  const files = await directory.load();
  if (files === undefined) return;
  const { cluster } = certificateFacts(parseCertificate(files.certificate));
  const nodeId = nodeIdOf(files.certificate);
  throw new BerthError({
    code: "BERTH_CONFLICT",
    message: `this host has already joined the cluster ${cluster} as node ${nodeId}; to join again as a new node, run "berth node rm ${nodeId}" on a server, then repeat this command with --force`,
    details: { cluster, nodeId },
  });
}

function wrongTokenKindError(kind: JoinKind): BerthError {
  const word = joinKindWord(kind);
  return new BerthError({
    code: "BERTH_TOKEN_INVALID",
    message: `invalid join token: it is for a ${word}, not for a node; run "berth token create --role node" on a server`,
  });
}
