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

/** Place in which Docker's configuration stores the credentials for a registry. */
export type CredentialSource =
  | { readonly kind: "none" }
  | { readonly kind: "credentials"; readonly credentials: RegistryCredentials }
  /** The program `docker-credential-NAME` returns them. */
  | { readonly kind: "helper"; readonly name: string }
  | { readonly kind: "invalid"; readonly reason: string };

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
 * Returns where the credentials for a registry are, in Docker's order: the helper of the registry, the helper for all
 * registries, the file itself.
 */
export function credentialSource(
  server: string,
  { auths, credHelpers, credsStore }: DockerConfig,
): CredentialSource {
  const helper = findEntry(server, credHelpers) ?? credsStore;
  if (helper !== "" && helper !== undefined) {
    if (typeof helper === "string" && HELPER_NAME.test(helper)) return { kind: "helper", name: helper };
    return { kind: "invalid", reason: "the name of its credential helper is invalid" };
  }
  const entry = findEntry(server, auths);
  return entry === undefined ? { kind: "none" } : fileCredentials(server, entry);
}

/** Parses the credentials that a helper has written to its standard output. Error reasons never quote the output. */
export function parseHelperOutput(text: string, server: string): CredentialSource {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { kind: "invalid", reason: "its credential helper did not print JSON" };
  }
  const { Username: username, Secret: secret } = isObject(json) ? json : {};
  if (typeof username !== "string" || typeof secret !== "string") {
    return { kind: "invalid", reason: "its credential helper printed no user name and secret" };
  }
  if (username === "" && secret === "") return { kind: "none" };
  // Helpers return identity tokens under this name.
  return username === "<token>"
    ? checked({ server, username: "", secret, isIdentityToken: true })
    : checked({ server, username, secret, isIdentityToken: false });
}

/** Finds the entry of a registry. Keys are hosts or URLs; the one that Docker writes has precedence. */
function findEntry(server: string, entries: Readonly<Record<string, unknown>>): unknown {
  const address = registryAddress(server);
  if (Object.hasOwn(entries, address)) return entries[address];
  return Object.entries(entries).find(([key]) => parseRegistryServer(key) === server)?.[1];
}

/** Reads an entry of `auths`. It is empty when a helper has, or had, the credentials. */
function fileCredentials(server: string, entry: unknown): CredentialSource {
  if (!isObject(entry)) return { kind: "invalid", reason: "its entry in auths is not an object" };
  const { auth = "", identitytoken = "", registrytoken = "" } = entry;
  let { username = "", password = "" } = entry;
  if (typeof auth !== "string" || typeof identitytoken !== "string") {
    return { kind: "invalid", reason: "its entry in auths has a value that is not text" };
  }
  if (auth !== "") {
    const decoded = Buffer.from(auth, "base64").toString("utf8");
    const colon = decoded.indexOf(":");
    if (colon < 0) return { kind: "invalid", reason: "auth in its entry is not base64 of USER:PASSWORD" };
    username = decoded.slice(0, colon);
    // Docker pads passwords with NUL characters.
    password = decoded.slice(colon + 1).replace(/\0+$/, "");
  }
  if (typeof username !== "string" || typeof password !== "string") {
    return { kind: "invalid", reason: "its entry in auths has a value that is not text" };
  }
  if (identitytoken !== "") {
    return checked({ server, username, secret: identitytoken, isIdentityToken: true });
  }
  if (username === "" && password === "") {
    if (registrytoken === "") return { kind: "none" };
    return { kind: "invalid", reason: "registry tokens, which are valid for minutes, are not supported" };
  }
  return checked({ server, username, secret: password, isIdentityToken: false });
}

function checked(credentials: RegistryCredentials): CredentialSource {
  const problems = credentialProblems(credentials);
  return problems.length === 0
    ? { kind: "credentials", credentials }
    : { kind: "invalid", reason: problems.join("; ") };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
