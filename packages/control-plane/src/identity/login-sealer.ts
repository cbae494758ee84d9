import type { RegistryLogin } from "@berth/proto";
import type { LoginSealer } from "../core/registries/registry-logins.js";
import { type ClusterKey, open, seal } from "./cluster-key.js";

/** Returns the sealer of the registry logins of a cluster. */
export function createLoginSealer(clusterKey: ClusterKey): LoginSealer {
  return {
    seal: (login, secret) => seal(clusterKey, secret, loginContext(login)),
    open: (login) => open(clusterKey, login.sealedSecret, loginContext(login)),
  };
}

/**
 * Returns the context that binds the encryption to the server and stack, so that a writer to etcd cannot have a secret
 * sent to another registry.
 * User names are the only part that can contain spaces, so they come last.
 */
export function loginContext(login: Omit<RegistryLogin, "sealedSecret">): string {
  const { id, server, stack, username, isIdentityToken } = login;
  const kind = isIdentityToken ? "token" : "password";
  const scope = stack === "" ? "all stacks" : `stack ${stack}`;
  return `${kind} of registry login ${id} for ${server} and ${scope} as ${username}`;
}
