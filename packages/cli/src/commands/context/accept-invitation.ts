import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { BerthError, isBerthError, JoinKind } from "@berth/proto";
import { IdentityFolder, joinKindWord, parseJoinToken } from "@berth/proto/identity";
import { type JoinedCluster, joinCluster } from "@berth/proto/rpc";
import { parseServerAddresses, socketPathOf } from "../../client/addresses.js";
import { identityFolderPath, type SavedContext } from "../../client/contexts.js";
import { firstReachable } from "../../client/first-reachable.js";
import { retryDuringElection } from "../../client/leader-change.js";
import type { Cli } from "../../process/cli.js";

export interface Invitation {
  readonly token: string;
  readonly context: string;
  /** `HOST:PORT,…` */
  readonly servers: string;
}

const FOLDER_SUFFIX_BYTES = 4;
/** Bounds what a server's answer adds to the configuration. A cluster has at most seven servers. */
const MAX_SERVERS = 16;

/**
 * Gets a certificate for an invitation and stores it in a new folder, then calls `save`. Removes the folder when a step
 * fails.
 * @throws BerthError BERTH_TOKEN_INVALID, BERTH_AUTHORITY_MISMATCH, BERTH_SERVER_UNREACHABLE
 */
export async function acceptInvitation(
  cli: Cli,
  { token, context, servers }: Invitation,
  save: (saved: SavedContext) => Promise<void>,
): Promise<void> {
  requireInvitation(token);
  const address = await selectServer(cli, servers.split(","));
  const identity = `${context}-${randomBytes(FOLDER_SUFFIX_BYTES).toString("hex")}`;
  const path = identityFolderPath(cli, identity);
  try {
    const folder = await openFolder(path);
    const joined = await retryDuringElection(cli, () =>
      joinCluster({ address, token, hostname: "", folder }, cli.signal),
    );
    await save({ server: mergeServers(servers, joined), identity });
  } catch (error) {
    await rm(path, { recursive: true, force: true }).catch(() => {});
    throw error;
  }
}

function requireInvitation(token: string): void {
  const { kind } = parseJoinToken(token);
  if (kind === JoinKind.USER) return;
  const command = kind === JoinKind.NODE ? "berth agent join" : "berth server join";
  throw new BerthError({
    code: "BERTH_TOKEN_INVALID",
    message: `this is a join token of the role ${joinKindWord(kind)}, not an invitation: use it with "${command}", or ask for an invitation ("berth user invite")`,
  });
}

async function selectServer(cli: Cli, addresses: readonly string[]): Promise<string> {
  if (addresses.some((address) => socketPathOf(address) !== undefined)) {
    throw new BerthError({
      code: "BERTH_INPUT_INVALID",
      message: "cannot accept an invitation over a unix socket, which needs no identity: use HOST:PORT",
    });
  }
  const [first = ""] = addresses;
  if (addresses.length === 1) return first;
  return (await firstReachable(addresses, cli.signal)) ?? first;
}

async function openFolder(path: string): Promise<IdentityFolder> {
  try {
    return await IdentityFolder.open(path);
  } catch (cause) {
    if (isBerthError(cause)) throw cause;
    const message = `cannot create the folder for the identity: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message, cause });
  }
}

/** Returns the servers that the user gave, which are reachable from this host, and then those that the cluster names. */
function mergeServers(given: string, { servers }: JoinedCluster): string {
  const named = servers.filter(isAddress);
  return [...new Set([...given.split(","), ...named])].slice(0, MAX_SERVERS).join(",");
}

function isAddress(text: string): boolean {
  try {
    parseServerAddresses(text);
    return !text.includes(",") && socketPathOf(text) === undefined;
  } catch {
    return false;
  }
}
