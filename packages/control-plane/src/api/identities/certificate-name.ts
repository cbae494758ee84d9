import type { User } from "@berth/proto";

/** Length of the random suffix, 30 bits. It distinguishes a new user from a removed user with the same name. */
const SUFFIX_LENGTH = 6;
const SEPARATOR = ".";

/** Maximum length of a user name. With the suffix, a name in a certificate has at most 64 characters. */
export const MAX_USER_NAME_LENGTH = 64 - SUFFIX_LENGTH - SEPARATOR.length;

/** Returns the name of a new user in certificates. */
export function newCertificateName(userName: string, newId: string): string {
  return userName + SEPARATOR + newId.slice(-SUFFIX_LENGTH);
}

/** Returns the user to whom a name in a certificate belongs, or undefined if that user was removed. */
export function findUser(certificateName: string, users: ReadonlyMap<string, User>): User | undefined {
  const user = users.get(certificateName.slice(0, -SUFFIX_LENGTH - SEPARATOR.length));
  return user?.certificateName === certificateName ? user : undefined;
}
