import { BerthError } from "@berth/proto";
import { DEFAULT_SERVER, parseServerAddresses } from "../../client/client.js";
import { configPath, DEFAULT_CONTEXT, readContexts, writeContexts } from "../../client/contexts.js";
import { printListing } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

const CONTEXT_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;

interface ContextRow {
  readonly name: string;
  readonly server: string;
  readonly current: boolean;
}

/** `berth context create NAME --server HOST:PORT`: saves an address, or replaces the saved one. */
export async function createContext(cli: Cli, options: GlobalOptions, name: string): Promise<void> {
  if (!CONTEXT_NAME.test(name))
    throw invalidContextError(
      `invalid context name ${JSON.stringify(name)}: use up to 63 letters, digits, -, _ and .`,
    );
  if (options.server === undefined)
    throw invalidContextError("no server address: use berth context create NAME --server HOST:PORT");
  const path = configPath(cli);
  const config = await readContexts(path);
  const saved = { server: parseServerAddresses(options.server) };
  await writeContexts(path, { ...config, contexts: { ...config.contexts, [name]: saved } });
  cli.stdout.write(`Saved context ${name}. To use it, run: berth context use ${name}\n`);
}

/** `berth context use NAME`: makes a context the current one. */
export async function useContext(cli: Cli, _options: GlobalOptions, name: string): Promise<void> {
  const path = configPath(cli);
  const config = await readContexts(path);
  if (name !== DEFAULT_CONTEXT) requireContext(config.contexts, name);
  await writeContexts(path, { ...config, current: name });
  cli.stdout.write(`Current context is now ${name}\n`);
  if (cli.env.BERTH_SERVER) cli.stderr.write("warning: BERTH_SERVER is set and overrides the context\n");
}

/** `berth context rm NAME`: removes a context. If it is current, the default context becomes current. */
export async function removeContext(cli: Cli, _options: GlobalOptions, name: string): Promise<void> {
  const path = configPath(cli);
  const { current, contexts } = await readContexts(path);
  requireContext(contexts, name);
  const { [name]: _removed, ...others } = contexts;
  await writeContexts(path, { current: current === name ? DEFAULT_CONTEXT : current, contexts: others });
  cli.stdout.write(`Removed context ${name}\n`);
}

/** `berth context ls`: lists the default context and the saved contexts. */
export async function listContexts(cli: Cli, options: GlobalOptions): Promise<void> {
  const { current, contexts } = await readContexts(configPath(cli));
  const all = { [DEFAULT_CONTEXT]: { server: DEFAULT_SERVER }, ...contexts };
  const rows = Object.entries(all).map(
    ([name, { server }]): ContextRow => ({ name, server, current: name === current }),
  );
  const listing = {
    rows,
    id: ({ name }: ContextRow) => name,
    json: (row: ContextRow) => row,
    columns: [
      { title: "NAME", cell: (row: ContextRow) => `${row.name}${row.current ? " *" : ""}` },
      { title: "SERVER", cell: ({ server }: ContextRow) => server },
    ],
  };
  printListing(cli, listing, options);
}

function requireContext(contexts: Readonly<Record<string, unknown>>, name: string): void {
  if (Object.hasOwn(contexts, name)) return;
  const known = Object.keys(contexts);
  const hint = known.length === 0 ? "no contexts are saved" : `saved contexts are ${known.join(", ")}`;
  throw invalidContextError(`no such context: ${name}: ${hint}`);
}

function invalidContextError(message: string): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message });
}
