import type { FileSealer } from "../core/files/apply-file.js";
import type { LoginSealer } from "../core/registries/registry-logins.js";
import type { SessionRegistry } from "../dispatcher/session-registry.js";
import { AuthorityRotation } from "../identity/authority-rotation.js";
import { type CertificateIssuer, clusterIssuer } from "../identity/certificate-issuer.js";
import { ClusterKeyRotation } from "../identity/cluster-key-rotation.js";
import { createFileSealer } from "../identity/file-sealer.js";
import { createLoginSealer } from "../identity/login-sealer.js";
import type { ServerIdentity } from "../identity/server-identity.js";
import type { TermContext, TermOptions } from "./term-context.js";

/** The components that use or rotate the cluster key. */
export interface ClusterKeyComponents {
  /** Issues certificates. */
  readonly issuer: CertificateIssuer;
  readonly keyRotation: ClusterKeyRotation;
  /** Encrypts secrets and configs. */
  readonly sealer: FileSealer;
  /** Encrypts registry logins. */
  readonly loginSealer: LoginSealer;
}

/**
 * Creates the components that use the cluster key.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID if this server does not have the key that encrypts records
 */
export function createClusterKeyComponents(
  { clusterKey }: ServerIdentity,
  context: TermContext,
  { registrations }: TermOptions,
): ClusterKeyComponents {
  const { state, runtime } = context;
  return {
    issuer: clusterIssuer({
      authorities: () => state.authorities.values(),
      clusterKey,
      wallClockMs: () => runtime.wallClockMs(),
    }),
    keyRotation: new ClusterKeyRotation({ ...context, clusterKey, serverKeys: registrations }),
    sealer: createFileSealer(clusterKey),
    loginSealer: createLoginSealer(clusterKey),
  };
}

/** Creates the rotation of the CA, which also announces the authorities to agents. */
export function createAuthorityRotation(
  context: TermContext,
  { registrations }: TermOptions,
  sessions: SessionRegistry,
): AuthorityRotation {
  return new AuthorityRotation({
    ...context,
    serverTrust: registrations,
    broadcast: (value) => sessions.broadcast({ $case: "authorities", value }),
  });
}
