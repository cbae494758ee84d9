import { type RegistryCredentials, registryAddress } from "@berth/proto";

/** Returns credentials as Docker's API expects them in `POST /auth`, and encoded in the header X-Registry-Auth. */
export function authConfig({ server, username, secret, isIdentityToken }: RegistryCredentials): object {
  const serveraddress = registryAddress(server);
  return isIdentityToken
    ? { identitytoken: secret, serveraddress }
    : { username, password: secret, serveraddress };
}
