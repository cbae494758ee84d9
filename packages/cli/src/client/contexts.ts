import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BerthError, describeFileError } from "@berth/proto";
import { createDirectory } from "@berth/proto/create-directory";

/** Name of the context that is used when none is selected. */
export const DEFAULT_CONTEXT = "default";

/** The content of the configuration file: the saved contexts by name, and the current one. */
export interface ContextConfig {
  readonly current: string;
  readonly contexts: Readonly<Record<string, SavedContext>>;
}

export interface SavedContext {
  /** `HOST:PORT,…` */
  readonly server: string;
  /**
   * Name of the directory with the identity. A new identity gets a new directory, so that saving it is one atomic step.
   */
  readonly identity?: string;
  /** `HOST:PORT,…` of the servers that the cluster listed last. The user specified the others. */
  readonly listed?: string;
}

/** Location of a context's identity. */
export interface IdentityLocation {
  readonly context: string;
  readonly server: string;
  /** Path of the directory. */
  readonly directory: string;
}

const EMPTY_CONFIG: ContextConfig = { current: DEFAULT_CONTEXT, contexts: {} };

/** Pattern of an identity directory. Excludes path separators, because `berth context rm` deletes the directory. */
const DIRECTORY_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;

export interface ConfigLocation {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDirectory: string;
}

/** Returns the path of `config.json` in `$BERTH_CONFIG`, `$XDG_CONFIG_HOME/berth` or `~/.config/berth`. */
export function configPath({ env, homeDirectory }: ConfigLocation): string {
  const directory = env.BERTH_CONFIG || join(env.XDG_CONFIG_HOME || join(homeDirectory, ".config"), "berth");
  return join(directory, "config.json");
}

/** Returns the path of the directory with an identity. */
export function identityDirectoryPath(location: ConfigLocation, identity: string): string {
  return join(dirname(configPath(location)), "contexts", identity);
}

/** Returns the identity of a context, by default of the current one, or undefined if it has none. */
export function identityOf(
  { current, contexts }: ContextConfig,
  location: ConfigLocation,
  context = current,
): IdentityLocation | undefined {
  const { server = "", identity } = (Object.hasOwn(contexts, context) && contexts[context]) || {};
  if (identity === undefined) return undefined;
  return { context, server, directory: identityDirectoryPath(location, identity) };
}

/**
 * Reads the saved contexts. Returns no contexts when the file does not exist.
 *
 * @throws BerthError BERTH_INPUT_INVALID if the file cannot be read or is invalid.
 */
export async function readContexts(path: string): Promise<ContextConfig> {
  try {
    return parseContexts(await readFile(path, "utf8"));
  } catch (cause) {
    if (isNotFound(cause)) return EMPTY_CONFIG;
    const message = `cannot read contexts from ${path}: ${String(cause)}; correct or delete the file`;
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message, cause });
  }
}

/** Saves contexts by replacing the file atomically. */
export async function writeContexts(path: string, config: ContextConfig): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await createDirectory(dirname(path));
    await writeFile(temporary, `${JSON.stringify(config, undefined, 2)}\n`, { mode: 0o600 });
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {});
    const message = `cannot save contexts: ${describeFileError(cause, path)}`;
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message, cause });
  }
}

/** Changes the saved contexts. Returns the previous ones. */
export async function editContexts(
  location: ConfigLocation,
  edit: (config: ContextConfig) => ContextConfig,
): Promise<ContextConfig> {
  const path = configPath(location);
  const previous = await readContexts(path);
  const next = edit(previous);
  if (next !== previous) await writeContexts(path, next);
  return previous;
}

/** @throws Error if the text is not a configuration. The caller adds the path of the file. */
export function parseContexts(text: string): ContextConfig {
  const value: unknown = JSON.parse(text);
  if (!isRecord(value) || typeof value.current !== "string" || !isRecord(value.contexts)) {
    throw new Error("current or contexts is missing");
  }
  const contexts = Object.entries(value.contexts).map(([name, saved]): [string, SavedContext] => [
    name,
    parseContext(name, saved),
  ]);
  // Object.fromEntries also keeps a context with the name `__proto__`.
  return { current: value.current, contexts: Object.fromEntries(contexts) };
}

function parseContext(name: string, saved: unknown): SavedContext {
  if (!isRecord(saved) || typeof saved.server !== "string") throw new Error(`context ${name} has no server`);
  const { server, identity, listed } = saved;
  if (identity === undefined) return { server };
  if (typeof identity === "string" && DIRECTORY_NAME.test(identity)) {
    return { server, identity, ...(typeof listed === "string" && { listed }) };
  }
  throw new Error(`the identity of context ${name} is not the name of a directory`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
