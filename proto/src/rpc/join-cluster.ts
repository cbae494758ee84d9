import { ControlServiceService, type JoinResponse } from "../../gen/berth/v1/control.js";
import { createRequest } from "../identity/authority.js";
import { fetchAuthority } from "../identity/fetch-authority.js";
import type { IdentityDirectory, IdentityFiles } from "../identity/identity-directory.js";
import { parseJoinToken } from "../identity/join-token.js";
import { createRpcClient } from "./client.js";
import { RotatingIdentity } from "./rpc-identity.js";

export interface JoinClusterOptions {
  /** "host:port" of a server. */
  readonly address: string;
  /** The text of a join token. */
  readonly token: string;
  /** Name of this host. */
  readonly hostname: string;
  /** The directory for the identity. */
  readonly directory: IdentityDirectory;
}

export interface JoinedCluster {
  readonly files: IdentityFiles;
  /** "host:port" of each server. */
  readonly servers: readonly string[];
  /** Whether the node must wait for `berth node accept`. */
  readonly awaitsApproval: boolean;
}

/**
 * Joins a cluster, and stores the certificate in the directory.
 *
 * @throws BerthError BERTH_TOKEN_INVALID, BERTH_AUTHORITY_MISMATCH, BERTH_SERVER_UNREACHABLE, BERTH_IDENTITY_INVALID
 */
export async function joinCluster(options: JoinClusterOptions, signal: AbortSignal): Promise<JoinedCluster> {
  const { certificate, authorities, servers, awaitsApproval } = await requestJoin(options, signal);
  return { files: await options.directory.store({ certificate, authorities }), servers, awaitsApproval };
}

/**
 * Checks that the server has a certificate of the token's CA, and sends the token and a certificate request. The caller
 * stores the certificate. The private key stays in the directory.
 *
 * @throws BerthError BERTH_TOKEN_INVALID, BERTH_AUTHORITY_MISMATCH, BERTH_SERVER_UNREACHABLE, BERTH_IDENTITY_INVALID
 */
export async function requestJoin(
  { address, token, hostname, directory }: JoinClusterOptions,
  signal: AbortSignal,
): Promise<JoinResponse> {
  const { caFingerprint: fingerprint } = parseJoinToken(token);
  const { x509 } = await fetchAuthority({ address, fingerprint }, signal);
  const certificateRequest = await createRequest(await directory.prepareKey());
  const identity = new RotatingIdentity({ authorities: x509.toString(), leaf: undefined });
  const client = createRpcClient(ControlServiceService, { address, identity });
  try {
    return await client.calls.join({ token, certificateRequest, hostname }, { signal });
  } finally {
    client.close();
  }
}
