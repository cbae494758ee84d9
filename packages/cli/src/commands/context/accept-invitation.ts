import { rm } from "node:fs/promises";
import { BerthError, type ErrorCode, isBerthError, JoinKind } from "@berth/proto";
import { IdentityDirectory, joinKindWord, joinTokenId, parseJoinToken } from "@berth/proto/identity";
import { joinCluster } from "@berth/proto/rpc";
import { socketPathOf } from "../../client/addresses.js";
import { identityDirectoryPath, type SavedContext } from "../../client/contexts.js";
import { firstReachable } from "../../client/first-reachable.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { withListedServers } from "../../client/listed-servers.js";
import type { Cli } from "../../process/cli.js";

export interface Invitation {
  readonly token: string;
  readonly context: string;
  /** `HOST:PORT,…` */
  readonly servers: string;
}

/** Number of digits of the token ID in the name of an identity directory. */
const DIRECTORY_ID_DIGITS = 8;

/** Errors after which the cluster may have admitted the user. A retry with the same key then gets the certificate. */
const UNKNOWN_OUTCOMES: readonly ErrorCode[] = [
  "BERTH_SERVER_UNREACHABLE",
  "BERTH_CANCELLED",
  "BERTH_DEADLINE",
  "BERTH_NO_LEADER",
  "BERTH_NOT_LEADER",
  "BERTH_ETCD_UNAVAILABLE",
];

/** The saved contexts. */
export interface ContextStore {
  /** Returns whether a context uses the directory of an identity. */
  readonly isSaved: (identity: string) => Promise<boolean>;
  readonly save: (context: SavedContext) => Promise<void>;
}

/**
 * Exchanges an invitation for a certificate, stores it in a directory named after the context and the invitation, then
 * saves the context. If the response was lost or the context could not be saved, the directory stays, and a retry with
 * the same invitation continues with it.
 *
 * @throws BerthError BERTH_TOKEN_INVALID, BERTH_AUTHORITY_MISMATCH, BERTH_SERVER_UNREACHABLE
 */
export async function acceptInvitation(
  cli: Cli,
  { token, context, servers }: Invitation,
  { isSaved, save }: ContextStore,
): Promise<void> {
  requireInvitation(token);
  const address = await selectServer(cli, servers.split(","));
  const identity = `${context}-${joinTokenId(parseJoinToken(token).hash).slice(0, DIRECTORY_ID_DIGITS)}`;
  const path = identityDirectoryPath(cli, identity);
  const isUsed = await isSaved(identity);
  const directory = await openDirectory(path);
  // An earlier attempt has stored the certificate, but not the context.
  const isStored = !isUsed && (await directory.load()) !== undefined;
  const listedServers = isStored
    ? []
    : await requestCertificate(cli, { address, token, directory, keepDirectory: isUsed });
  await save(withListedServers({ server: servers, identity }, listedServers));
}

interface CertificateRequest {
  readonly address: string;
  readonly token: string;
  readonly directory: IdentityDirectory;
  /** Whether a context uses the directory, so that it must stay when the request is rejected. */
  readonly keepDirectory: boolean;
}

/** Requests the certificate and stores it. Returns the servers that the cluster lists. */
async function requestCertificate(
  cli: Cli,
  { address, token, directory, keepDirectory }: CertificateRequest,
): Promise<readonly string[]> {
  try {
    const { servers } = await retryDuringElection(cli, () =>
      joinCluster({ address, token, hostname: "", directory }, cli.signal),
    );
    return servers;
  } catch (error) {
    const isUnknown = cli.signal.aborted || UNKNOWN_OUTCOMES.some((code) => isBerthError(error, code));
    if (!isUnknown && !keepDirectory) {
      // The rejection is the error to report, and an unused directory does no harm.
      await rm(directory.path, { recursive: true, force: true }).catch(() => {});
    }
    throw error;
  }
}

function requireInvitation(token: string): void {
  const { kind } = parseJoinToken(token);
  if (kind === JoinKind.USER) return;
  const command = kind === JoinKind.NODE ? "berth agent join" : "berth server join";
  throw new BerthError({
    code: "BERTH_TOKEN_INVALID",
    message: `this is a join token of the role ${joinKindWord(kind)}, not an invitation; use it with "${command}", or ask for an invitation ("berth user invite")`,
  });
}

async function selectServer(cli: Cli, addresses: readonly string[]): Promise<string> {
  if (addresses.some((address) => socketPathOf(address) !== undefined)) {
    throw new BerthError({
      code: "BERTH_INPUT_INVALID",
      message: "cannot accept an invitation over a Unix socket, which needs no identity; use HOST:PORT",
    });
  }
  const [first = ""] = addresses;
  if (addresses.length === 1) return first;
  return (await firstReachable(addresses, cli.signal)) ?? first;
}

async function openDirectory(path: string): Promise<IdentityDirectory> {
  try {
    return await IdentityDirectory.open(path);
  } catch (cause) {
    if (isBerthError(cause)) throw cause;
    const message = `cannot create the directory for the identity: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message, cause });
  }
}
