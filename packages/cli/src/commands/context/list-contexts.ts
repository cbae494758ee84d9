import { isBerthError } from "@berth/proto";
import { loadContextIdentity } from "../../client/context-identity.js";
import {
  type ContextConfig,
  configPath,
  DEFAULT_CONTEXT,
  identityOf,
  readContexts,
} from "../../client/contexts.js";
import { type Listing, printListing } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface ContextListOptions extends GlobalOptions {
  readonly quiet?: boolean;
}

interface ContextRow {
  readonly name: string;
  readonly server: string;
  readonly isCurrent: boolean;
  readonly identity: IdentityRow;
}

/** The identity of a context: none, the contents of its certificate, or why the certificate cannot be used. */
type IdentityRow =
  | { readonly kind: "none" }
  | {
      readonly kind: "certificate";
      readonly cluster: string;
      readonly name: string;
      readonly validUntilMs: number;
    }
  | { readonly kind: "unusable"; readonly error: string };

/** `berth context ls`: lists the default context and the saved contexts. */
export async function listContexts(cli: Cli, options: ContextListOptions): Promise<void> {
  const config = await readContexts(configPath(cli));
  const all = { [DEFAULT_CONTEXT]: { server: `unix:${cli.serverSocket}` }, ...config.contexts };
  const rows = await Promise.all(
    Object.entries(all).map(async ([name, { server }]): Promise<ContextRow> => {
      return {
        name,
        server,
        isCurrent: name === config.current,
        identity: await identityRow(cli, config, name),
      };
    }),
  );
  printListing(cli, contextListing(rows, cli.now()), options);
}

/** Returns a saved context for `-o json`. */
export async function contextJson(cli: Cli, name: string): Promise<object> {
  const config = await readContexts(configPath(cli));
  const { server = "" } = config.contexts[name] ?? {};
  const identity = await identityRow(cli, config, name);
  return rowJson({ name, server, isCurrent: name === config.current, identity });
}

function contextListing(rows: readonly ContextRow[], nowMs: number): Listing<ContextRow> {
  return {
    rows,
    id: ({ name }) => name,
    json: rowJson,
    columns: [
      { title: "NAME", cell: ({ name, isCurrent }) => `${name}${isCurrent ? " *" : ""}` },
      { title: "SERVER", cell: ({ server }) => server },
      { title: "IDENTITY", cell: ({ identity }) => identityText(identity) },
      {
        title: "CLUSTER",
        cell: ({ identity }) => (identity.kind === "certificate" ? identity.cluster : ""),
      },
      { title: "VALID UNTIL", cell: ({ identity }) => validityText(identity, nowMs) },
    ],
  };
}

function rowJson({ name, server, isCurrent, identity }: ContextRow): object {
  const { kind, ...fields } = identity;
  return { name, server, current: isCurrent, identity: kind === "none" ? null : fields };
}

async function identityRow(cli: Cli, config: ContextConfig, context: string): Promise<IdentityRow> {
  const location = identityOf(config, cli, context);
  if (location === undefined) return { kind: "none" };
  try {
    const { facts } = await loadContextIdentity(location);
    const { cluster, identity, notAfterMs } = facts;
    const name = identity.kind === "user" ? identity.name : identity.id;
    return { kind: "certificate", cluster, name, validUntilMs: notAfterMs };
  } catch (error) {
    if (isBerthError(error)) return { kind: "unusable", error: error.message };
    throw error;
  }
}

function identityText(identity: IdentityRow): string {
  switch (identity.kind) {
    case "none":
      return "";
    case "certificate":
      return identity.name;
    case "unusable":
      return identity.error;
  }
}

function validityText(identity: IdentityRow, nowMs: number): string {
  if (identity.kind !== "certificate") return "";
  const { validUntilMs } = identity;
  return `${new Date(validUntilMs).toISOString()}${validUntilMs < nowMs ? " (expired)" : ""}`;
}
