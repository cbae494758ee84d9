import type { RegistryCredentials } from "../../gen/berth/v1/cluster.js";

/** Registry of images without a domain in their names. */
export const DOCKER_HUB = "docker.io";
/** Address of Docker Hub in Docker's configuration and API. */
const DOCKER_HUB_ADDRESS = "https://index.docker.io/v1/";
const DOCKER_HUB_HOSTS: ReadonlySet<string> = new Set([
  DOCKER_HUB,
  "index.docker.io",
  "registry-1.docker.io",
]);

/**
 * Maximum size of a password or token. Tokens of cloud providers have a few thousand bytes, and keys as passwords a
 * little more.
 */
export const MAX_REGISTRY_SECRET_BYTES = 16 * 1024;
const MAX_USERNAME_LENGTH = 255;
const MAX_SERVER_LENGTH = 255;

const HOST_COMPONENT = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?";
const SERVER_PATTERN = new RegExp(
  `^(?:${HOST_COMPONENT}(?:\\.${HOST_COMPONENT})*|\\[[a-f0-9:]+\\])(?::[0-9]+)?$`,
);

/** Returns the server of an image's registry by Docker's rules: "docker.io", "host" or "host:port", in lower case. */
export function registryOf(image: string): string {
  const slash = image.indexOf("/");
  const first = image.slice(0, Math.max(slash, 0));
  // Names without a domain are lower case, so that a capital letter shows a domain, too.
  const isDomain = /[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase();
  return isDomain ? canonicalHost(first) : DOCKER_HUB;
}

/**
 * Returns the server that a user or Docker's configuration names, in the form of `registryOf`. Accepts URLs, whose scheme
 * and path have no meaning for Docker. Returns undefined for a text that is not a server.
 */
export function parseRegistryServer(text: string): string | undefined {
  const [, host = ""] = /^(?:https?:\/\/)?([^/]*)/i.exec(text.trim()) ?? [];
  const server = canonicalHost(host);
  return server.length <= MAX_SERVER_LENGTH && SERVER_PATTERN.test(server) ? server : undefined;
}

/** Returns the address of a registry in Docker's API and configuration. */
export function registryAddress(server: string): string {
  return server === DOCKER_HUB ? DOCKER_HUB_ADDRESS : server;
}

/** Returns all problems of the credentials. The texts never contain the secret. */
export function credentialProblems({
  server,
  username,
  secret,
  isIdentityToken,
}: RegistryCredentials): readonly string[] {
  const problems: string[] = [];
  if (parseRegistryServer(server) !== server) {
    problems.push(`${JSON.stringify(server.slice(0, MAX_SERVER_LENGTH))} is not a registry such as ghcr.io`);
  }
  if (username === "" && !isIdentityToken) problems.push("the username is empty");
  if (username.length > MAX_USERNAME_LENGTH || /[:\p{Cc}]/u.test(username)) {
    problems.push(
      `the username must have at most ${MAX_USERNAME_LENGTH} characters, and neither ":" nor control characters`,
    );
  }
  const bytes = Buffer.byteLength(secret);
  if (bytes === 0) problems.push("the password is empty");
  if (bytes > MAX_REGISTRY_SECRET_BYTES) {
    problems.push(`the password is too large (${bytes} bytes, maximum ${MAX_REGISTRY_SECRET_BYTES})`);
  }
  if (secret.includes("\0")) problems.push("the password contains a NUL character");
  return problems;
}

function canonicalHost(host: string): string {
  const lower = host.toLowerCase();
  return DOCKER_HUB_HOSTS.has(lower) ? DOCKER_HUB : lower;
}
