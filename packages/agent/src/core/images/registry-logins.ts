import {
  type AssignedRegistryLogin,
  type ErrorCode,
  type RegistryCredentials,
  registryOf,
} from "@berth/proto";

// Decides with which credentials an image is pulled, and explains why a registry refused the pull.

/** An image of a task. `stack` is empty for a task without one. */
export interface TaskImage {
  readonly image: string;
  readonly stack: string;
}

/**
 * Returns the logins for an image in the order in which they are tried: the stack's login, whose token may have
 * expired, before the login for all stacks.
 */
export function loginsFor(
  { image, stack }: TaskImage,
  logins: Iterable<AssignedRegistryLogin>,
): readonly AssignedRegistryLogin[] {
  const server = registryOf(image);
  const matching = [...logins].filter(({ credentials }) => credentials?.server === server);
  const ofOwner = (owner: string): readonly AssignedRegistryLogin[] =>
    matching.filter((login) => login.stack === owner).slice(0, 1);
  return stack === "" ? ofOwner("") : [...ofOwner(stack), ...ofOwner("")];
}

/**
 * Error messages with which registries and Docker's image stores refuse a pull. Docker reports them with different
 * statuses, and a registry's own error codes only as text: "unauthorized" and "denied" of the distribution
 * specification.
 */
const DENIAL_PATTERNS: readonly RegExp[] = [
  /no basic auth credentials/i,
  /\bunauthorized\b/i,
  /\bauthentication required\b/i,
  /\b(pull )?access denied\b/i,
  /\bdenied: /i,
  /\baccess forbidden\b/i,
  /\b401 unauthorized\b/i,
  /\b403 forbidden\b/i,
  /\bincorrect username or password\b/i,
  /\bauthorization (?:token has expired|failed)\b/i,
];

/** Error messages about rate limits, which a registry also imposes on clients whose login it accepts. */
const OTHER_LIMITS = /toomanyrequests|rate limit/i;

/** Returns whether a pull or login failed because of wrong or missing credentials. */
export function isRegistryDenial(message: string): boolean {
  return !OTHER_LIMITS.test(message) && DENIAL_PATTERNS.some((pattern) => pattern.test(message));
}

/** Why a task is rejected, with the code of the reason. */
export interface PullDenial {
  readonly reason: string;
  readonly errorCode: ErrorCode;
}

/** Explains a pull that the registry refused with all of these logins, or without credentials. */
export function explainDenial(
  image: string,
  logins: readonly AssignedRegistryLogin[],
  message: string,
): PullDenial {
  const server = registryOf(image);
  const intro = `cannot pull image ${image}`;
  if (logins.length === 0) {
    return {
      errorCode: "BERTH_REGISTRY_LOGIN_MISSING",
      reason: `${intro}: no login for registry ${server}; run "berth registry login ${server}", or check the image name: ${message}`,
    };
  }
  const names = logins.map(describeLogin).join(" and ");
  const remedy = logins.some(({ stack }) => stack !== "")
    ? `deploy again with --with-registry-auth, or run "berth registry login ${server}"`
    : `run "berth registry login ${server}"`;
  return {
    errorCode: "BERTH_REGISTRY_LOGIN_REFUSED",
    reason: `${intro}: registry ${server} refused the login of ${names}; ${remedy}, or check the image name: ${message}`,
  };
}

function describeLogin({ stack, credentials }: AssignedRegistryLogin): string {
  const name = nameOf(credentials);
  return stack === "" ? name : `${name} (stored with stack ${stack})`;
}

/** An identity token may lack a user name. */
function nameOf(credentials: RegistryCredentials | undefined): string {
  return credentials?.username || "an identity token";
}
