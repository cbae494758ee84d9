import { readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BerthError } from "@berth/proto";
import { parseServerAddresses } from "../../client/addresses.js";
import {
  type ContextConfig,
  configPath,
  DEFAULT_CONTEXT,
  editContexts,
  identityDirectoryPath,
  identityOf,
  readContexts,
  type SavedContext,
} from "../../client/contexts.js";
import { localTarget } from "../../client/resolve-target.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

/** Pattern of the last part of an identity directory's name. The first part is the name of the context. */
const DIRECTORY_ID = /^[0-9a-f]{8}$/;

const CONTEXT_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;

export interface ContextCreateOptions extends GlobalOptions {
  readonly invitationFile?: string;
}

/** `berth context create NAME --server ADDRESS`: saves addresses and an identity, or replaces the saved ones. */
export async function createContext(cli: Cli, options: ContextCreateOptions, name: string): Promise<void> {
  if (!CONTEXT_NAME.test(name)) {
    throw invalidContextError(
      `invalid context name ${JSON.stringify(name)}; use up to 63 letters, digits, -, _ and .`,
    );
  }
  const server = requireServers(options, "create");
  const { invitationFile: file } = options;
  if (file === undefined) {
    await createWithoutIdentity(cli, name, server);
  } else {
    const token = await cli.readSecret({ file, prompt: "Invitation: ", what: "invitation" });
    const { acceptInvitation } = await import("./accept-invitation.js");
    const invitation = { token, context: name, servers: server };
    await acceptInvitation(cli, invitation, {
      isSaved: (identity) => isUsed(cli, identity),
      save: (saved) => saveContext(cli, name, saved),
    });
  }
  if (options.output === "json") {
    const { contextJson } = await import("./list-contexts.js");
    printJson(cli, await contextJson(cli, name));
  } else {
    cli.stdout.write(`Saved context ${name}. To use it, run: berth context use ${name}\n`);
  }
}

/** `berth context update NAME --server HOST:PORT`: replaces the addresses of a context, and keeps its identity. */
export async function updateContext(cli: Cli, options: GlobalOptions, name: string): Promise<void> {
  const server = requireServers(options, "update");
  await editContexts(cli, (config) => {
    const saved = requireContext(config.contexts, name);
    if (saved.identity === undefined && localTarget(server) === undefined) {
      throw invalidContextError(
        `context ${name} has no identity for ${server}; use "berth context create ${name}" with an invitation`,
      );
    }
    return { ...config, contexts: { ...config.contexts, [name]: { ...saved, server } } };
  });
  cli.stdout.write(`Updated context ${name}\n`);
}

/** `berth context use NAME`: makes a context the current one. */
export async function useContext(cli: Cli, _options: GlobalOptions, name: string): Promise<void> {
  await editContexts(cli, (config) => {
    if (name !== DEFAULT_CONTEXT) requireContext(config.contexts, name);
    return { ...config, current: name };
  });
  cli.stdout.write(`Current context is now ${name}\n`);
  if (cli.env.BERTH_SERVER) cli.stderr.write("warning: BERTH_SERVER is set and overrides the context\n");
}

/**
 * `berth context rm NAME`: removes a context with its identity. If it is current, the default context becomes current.
 */
export async function removeContext(cli: Cli, _options: GlobalOptions, name: string): Promise<void> {
  await editContexts(cli, ({ current, contexts }) => {
    requireContext(contexts, name);
    const { [name]: _removed, ...others } = contexts;
    return { current: current === name ? DEFAULT_CONTEXT : current, contexts: others };
  });
  await removeUnusedIdentities(cli, name);
  cli.stdout.write(`Removed context ${name}\n`);
}

/** Saves Unix sockets. Refuses to replace an identity, which cannot be restored: an invitation works only once. */
async function createWithoutIdentity(cli: Cli, name: string, server: string): Promise<void> {
  if (localTarget(server) === undefined) {
    throw invalidContextError(
      `context ${name} needs an identity for ${server}; ask an administrator for an invitation ("berth user invite"), and pass it with --invitation-file PATH, or - for standard input; only Unix sockets need none`,
    );
  }
  await editContexts(cli, (config) => {
    if (identityOf(config, cli, name) !== undefined) {
      throw invalidContextError(
        `context ${name} has an identity, which would be lost; use --invitation-file to replace it, "berth context update" to change only the servers, or "berth context rm"`,
      );
    }
    return { ...config, contexts: { ...config.contexts, [name]: { server } } };
  });
}

async function saveContext(cli: Cli, name: string, saved: SavedContext): Promise<void> {
  await editContexts(cli, (config) => ({ ...config, contexts: { ...config.contexts, [name]: saved } }));
  await removeUnusedIdentities(cli, name);
}

/** Returns whether a context uses the directory of an identity. */
async function isUsed(cli: Cli, directory: string): Promise<boolean> {
  const { contexts } = await readContexts(configPath(cli));
  return Object.values(contexts).some(({ identity }) => identity === directory);
}

/** Removes the identity directories of a context that are not in use, including directories of interrupted attempts. */
async function removeUnusedIdentities(cli: Cli, name: string): Promise<void> {
  const { contexts } = await readContexts(configPath(cli));
  const used = new Set(Object.values(contexts).map(({ identity }) => identity));
  const directory = dirname(identityDirectoryPath(cli, name));
  // There is no directory before the first identity is stored.
  for (const identity of await readdir(directory).catch(() => [])) {
    const isOfContext = identity.startsWith(`${name}-`) && DIRECTORY_ID.test(identity.slice(name.length + 1));
    if (isOfContext && !used.has(identity)) {
      await rm(join(directory, identity), { recursive: true, force: true });
    }
  }
}

function requireServers({ server }: GlobalOptions, command: string): string {
  if (server !== undefined) return parseServerAddresses(server);
  throw invalidContextError(`no server address; use berth context ${command} NAME --server HOST:PORT`);
}

function requireContext(contexts: ContextConfig["contexts"], name: string): SavedContext {
  const saved = Object.hasOwn(contexts, name) ? contexts[name] : undefined;
  if (saved !== undefined) return saved;
  const names = Object.keys(contexts);
  const hint = names.length === 0 ? "no contexts are saved" : `saved contexts are ${names.join(", ")}`;
  throw invalidContextError(`no such context: ${name}; ${hint}`);
}

function invalidContextError(message: string): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message });
}
