import { type RegistryCredentials, type RegistryLogin, registryOf } from "@berth/proto";

/** Encrypts the secrets of registry logins for the store. */
export interface LoginSealer {
  seal(login: Omit<RegistryLogin, "sealedSecret">, secret: string): Buffer;
  /** @throws BerthError BERTH_IDENTITY_INVALID for another cluster key or a damaged record */
  open(login: RegistryLogin): string;
}

/** Identifies a login. Servers contain no "/". */
export function loginKey({ server, stack }: Pick<RegistryLogin, "server" | "stack">): string {
  return `${server}/${stack}`;
}

/** An image of a service. `stack` is empty for a service without one. */
export interface StackImage {
  readonly image: string;
  readonly stack: string;
}

/**
 * Returns the keys of the logins for an image, in the order in which they are tried: first the stack's login, then the
 * login for all stacks, in case a token of the stack has expired.
 */
export function loginKeysFor({ image, stack }: StackImage): readonly string[] {
  const server = registryOf(image);
  return (stack === "" ? [""] : [stack, ""]).map((owner) => loginKey({ server, stack: owner }));
}

/**
 * Returns the credentials for an image of a stack, in the order in which they are tried. Empty if the image is pulled
 * without credentials.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID if this server cannot decrypt a login
 */
export function credentialsForImage(
  image: StackImage,
  logins: { readonly byKey: (key: string) => RegistryLogin | undefined },
  sealer: Pick<LoginSealer, "open">,
): readonly RegistryCredentials[] {
  return loginKeysFor(image).flatMap((key) => {
    const login = logins.byKey(key);
    return login === undefined ? [] : [credentialsOf(login, sealer)];
  });
}

/** @throws BerthError BERTH_IDENTITY_INVALID if this server cannot decrypt the login */
export function credentialsOf(login: RegistryLogin, sealer: Pick<LoginSealer, "open">): RegistryCredentials {
  const { server, username, isIdentityToken } = login;
  return { server, username, isIdentityToken, secret: sealer.open(login) };
}
