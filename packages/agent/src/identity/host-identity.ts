import { access } from "node:fs/promises";
import { join } from "node:path";
import { BerthError } from "@berth/proto";
import {
  type CertificateFacts,
  certificateFacts,
  describeIdentity,
  IdentityDirectory,
  parseCertificate,
  RenewalDemand,
} from "@berth/proto/identity";
import { RotatingIdentity, tlsMaterialOf } from "@berth/proto/rpc";

/** The identity that this host got with `berth agent join`. */
export interface HostIdentity {
  readonly nodeId: string;
  readonly directory: IdentityDirectory;
  /** The identity for connections. Renewals replace it. */
  readonly rpc: RotatingIdentity;
  /** Requests early renewals. */
  readonly demand: RenewalDemand;
}

/** Returns the path of the identity in an agent's data directory. */
export function identityPath(dataDir: string): string {
  return join(dataDir, "identity");
}

/**
 * Returns the identity in an agent's data directory, or undefined on a host that has not joined a cluster.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID if a file is missing or damaged
 */
export async function openHostIdentity(dataDir: string): Promise<HostIdentity | undefined> {
  const path = identityPath(dataDir);
  if (!(await exists(path))) return undefined;
  const directory = await IdentityDirectory.open(path);
  const files = await directory.load();
  if (files === undefined) return undefined;
  return {
    nodeId: nodeIdOf(files.certificate),
    directory,
    rpc: new RotatingIdentity(tlsMaterialOf(files)),
    demand: new RenewalDemand(),
  };
}

/**
 * Returns the identity in an agent's data directory.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID on a host that has not joined a cluster, or if a file is damaged
 */
export async function requireHostIdentity(dataDir: string): Promise<HostIdentity> {
  const identity = await openHostIdentity(dataDir);
  if (identity !== undefined) return identity;
  throw new BerthError({
    code: "BERTH_IDENTITY_INVALID",
    message: `this host has not joined a cluster (${identityPath(dataDir)} has no certificate); run "berth token create" on a server, and "berth agent join ADDRESS" on this host`,
  });
}

/** Returns the facts of the current certificate. */
export function currentFacts({ rpc }: Pick<HostIdentity, "rpc">): CertificateFacts {
  return certificateFacts(parseCertificate(rpc.current.leaf?.certificate ?? ""));
}

/**
 * Returns the ID of the node that a certificate names.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID
 */
export function nodeIdOf(certificate: string): string {
  const { identity } = certificateFacts(parseCertificate(certificate));
  if (identity.kind === "node") return identity.id;
  throw new BerthError({
    code: "BERTH_IDENTITY_INVALID",
    message: `the certificate of this host is for ${describeIdentity(identity)}, not for a node; run "berth agent join" with a token for nodes`,
  });
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}
