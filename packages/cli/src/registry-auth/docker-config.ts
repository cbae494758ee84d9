import {
  BerthError,
  credentialProblems,
  parseRegistryServer,
  type RegistryCredentials,
  registryAddress,
} from "@berth/proto";

/** Maximum size of config.json, which takes a few hundred bytes per registry. */
export const MAX_CONFIG_BYTES = 1_024 * 1_024;

/** Maximum number of registries. */
const MAX_REGISTRIES = 1_000;

/**
 * Pattern of a helper's name. Excludes path separators, because the name becomes part of the program name
 * `docker-credential-NAME`.
 */
const HELPER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** The credentials for a registry in an entry of Docker's configuration, or in the output of a helper. */
export type CredentialEntry =
  | { readonly kind: "none" }
  | { readonly kind: "credentials"; readonly credentials: RegistryCredentials }
  | { readonly kind: "invalid"; readonly reason: string };

/** The result of looking up the credentials for a registry in Docker's configuration. */
export type CredentialLookup =
  | CredentialEntry
  /** The program `docker-credential-NAME` returns the credentials. */
  | { readonly kind: "helper"; readonly name: string };

/** The parts of Docker's config.json that concern credentials. */
export interface DockerConfig {
  readonly auths: Readonly<Record<string, unknown>>;
  readonly credHelpers: Readonly<Record<string, unknown>>;
  readonly credsStore: unknown;
}

/**
 * Parses config.json. Entries are checked when they are needed.
 *
 * @throws BerthError BERTH_INPUT_INVALID
 */
export function parseDockerConfig(text: string, path: string): DockerConfig {
  const invalid = (reason: string): BerthError =>
    new BerthError({ code: "BERTH_INPUT_INVALID", message: `cannot read ${path}: ${reason}` });
  if (Buffer.byteLength(text) > MAX_CONFIG_BYTES) throw invalid(`it has more than ${MAX_CONFIG_BYTES} bytes`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // The parser's message quotes the file, which may contain passwords.
    throw invalid("it is not valid JSON");
  }
  if (!isObject(json)) throw invalid("it is not a JSON object");
  const { auths = {}, credHelpers = {}, credsStore = "" } = json;
  if (!isObject(auths)) throw invalid("auths is not an object");
  if (!isObject(credHelpers)) throw invalid("credHelpers is not an object");
  for (const [name, entries] of Object.entries({ auths, credHelpers })) {
    if (Object.keys(entries).length > MAX_REGISTRIES) {
      throw invalid(`${name} has more than ${MAX_REGISTRIES} entries`);
    }
  }
  return { auths, credHelpers, credsStore };
}

/**
 * Looks up the credentials for a registry in Docker's order: the helper of the registry, the helper for all registries,
 * the file itself.
 */
export function lookUpCredentials(
  server: string,
  { auths, credHelpers, credsStore }: DockerConfig,
): CredentialLookup {
  const helper = findEntry(server, credHelpers) ?? credsStore;
  if (helper !== "" && helper !== undefined) {
    if (typeof helper === "string" && HELPER_NAME.test(helper)) return { kind: "helper", name: helper };
    return { kind: "invalid", reason: "the name of its credential helper is invalid" };
  }
  const entry = findEntry(server, auths);
  return entry === undefined ? { kind: "none" } : parseAuthsEntry(server, entry);
}

/** Parses the credentials that a helper has written to its standard output. Error reasons never quote the output. */
export function parseHelperOutput(text: string, server: string): CredentialEntry {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { kind: "invalid", reason: "its credential helper did not print JSON" };
  }
  const { Username: username, Secret: secret } = isObject(json) ? json : {};
  if (typeof username !== "string" || typeof secret !== "string") {
    return { kind: "invalid", reason: "its credential helper did not print both a user name and a secret" };
  }
  if (username === "" && secret === "") return { kind: "none" };
  // Helpers return identity tokens under this name.
  return username === "<token>"
    ? validatedEntry({ server, username: "", secret, isIdentityToken: true })
    : validatedEntry({ server, username, secret, isIdentityToken: false });
}

/** Finds the entry of a registry. Keys are host names or URLs. The form that Docker writes takes precedence. */
function findEntry(server: string, entries: Readonly<Record<string, unknown>>): unknown {
  const address = registryAddress(server);
  if (Object.hasOwn(entries, address)) return entries[address];
  return Object.entries(entries).find(([key]) => parseRegistryServer(key) === server)?.[1];
}

/** Parses an entry of `auths`. The entry is empty when a helper has, or had, the credentials. */
function parseAuthsEntry(server: string, entry: unknown): CredentialEntry {
  if (!isObject(entry)) return { kind: "invalid", reason: "its entry in auths is not an object" };
  const { auth = "", username = "", password = "", identitytoken = "", registrytoken = "" } = entry;
  if (
    typeof auth !== "string" ||
    typeof username !== "string" ||
    typeof password !== "string" ||
    typeof identitytoken !== "string"
  ) {
    return { kind: "invalid", reason: "its entry in auths has a value that is not text" };
  }
  const login = auth === "" ? { username, password } : decodeAuth(auth);
  if (login === undefined) {
    return { kind: "invalid", reason: "auth in its entry is not a base64-encoded USER:PASSWORD" };
  }
  if (identitytoken !== "") {
    const { username } = login;
    return validatedEntry({ server, username, secret: identitytoken, isIdentityToken: true });
  }
  if (login.username === "" && login.password === "") {
    if (registrytoken === "") return { kind: "none" };
    return { kind: "invalid", reason: "registry tokens, which are valid for minutes, are not supported" };
  }
  return validatedEntry({
    server,
    username: login.username,
    secret: login.password,
    isIdentityToken: false,
  });
}

/** Decodes a base64-encoded `USER:PASSWORD`. Returns undefined for any other text. */
function decodeAuth(auth: string): { readonly username: string; readonly password: string } | undefined {
  const decoded = Buffer.from(auth, "base64").toString("utf8");
  const colon = decoded.indexOf(":");
  if (colon < 0) return undefined;
  // Docker pads passwords with NUL characters.
  return { username: decoded.slice(0, colon), password: decoded.slice(colon + 1).replace(/\0+$/, "") };
}

function validatedEntry(credentials: RegistryCredentials): CredentialEntry {
  const problems = credentialProblems(credentials);
  return problems.length === 0
    ? { kind: "credentials", credentials }
    : { kind: "invalid", reason: problems.join("; ") };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
