import type { User } from "@berth/proto";

/** Characters of the suffix: 30 random bits. Two users with the same name, one after the other, differ in it. */
const SUFFIX_LENGTH = 6;
const SEPARATOR = ".";

/** Longest name of a user: with the suffix, a name in a certificate has at most 64 characters. */
export const MAX_USER_NAME_LENGTH = 64 - SUFFIX_LENGTH - SEPARATOR.length;

/** Returns the name of a new user in certificates. */
export function newCertificateName(userName: string, newId: string): string {
  return userName + SEPARATOR + newId.slice(-SUFFIX_LENGTH);
}

/** Returns the user to whom a name in a certificate belongs; undefined when that user was removed. */
export function findUser(certificateName: string, users: ReadonlyMap<string, User>): User | undefined {
  const user = users.get(certificateName.slice(0, -SUFFIX_LENGTH - SEPARATOR.length));
  return user?.certificateName === certificateName ? user : undefined;
}
