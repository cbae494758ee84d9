import { Server_State as ServerState } from "@berth/proto";
import { parseServerAddresses, socketPathOf } from "./addresses.js";
import { type ConfigLocation, editContexts, type SavedContext } from "./contexts.js";
import type { ControlClient } from "./control-connection.js";
import type { RemoteTarget } from "./resolve-target.js";

/** Maximum number of servers saved in a context. A cluster has at most seven. */
const MAX_SERVERS = 16;

export interface SaveListedServersOptions {
  readonly calls: Pick<ControlClient, "listServers">;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Fetches the cluster's servers, including servers that are down, and saves them in the context of the target. */
export async function saveListedServers(
  location: ConfigLocation,
  { identity }: Pick<RemoteTarget, "identity">,
  { calls, timeoutMs, signal }: SaveListedServersOptions,
): Promise<void> {
  const { servers } = await calls.listServers({}, { timeoutMs, signal });
  const addresses = servers.flatMap(({ server }) =>
    server === undefined || server.state === ServerState.REMOVING ? [] : [server.address],
  );
  await editContexts(location, (config) => {
    const saved = Object.hasOwn(config.contexts, identity.context) && config.contexts[identity.context];
    // Another command has changed the context in the meantime.
    if (!saved || saved.server !== identity.server) return config;
    const next = withListedServers(saved, addresses);
    if (next.server === saved.server && next.listed === saved.listed) return config;
    return { ...config, contexts: { ...config.contexts, [identity.context]: next } };
  });
}

/**
 * Returns a context with the servers that the cluster lists now. Addresses that the user specified come first and are
 * kept, unless the cluster listed them earlier and no longer does. An empty list changes nothing.
 */
export function withListedServers(saved: SavedContext, addresses: readonly string[]): SavedContext {
  const listed = addresses.filter(isAddress);
  if (listed.length === 0) return saved;
  const earlier = new Set((saved.listed ?? "").split(","));
  const keptAddresses = saved.server.split(",").filter((each) => !earlier.has(each) || listed.includes(each));
  const server = [...new Set([...keptAddresses, ...listed])].slice(0, MAX_SERVERS).join(",");
  return { ...saved, server, listed: listed.slice(0, MAX_SERVERS).join(",") };
}

function isAddress(text: string): boolean {
  try {
    parseServerAddresses(text);
    return !text.includes(",") && socketPathOf(text) === undefined;
  } catch {
    return false;
  }
}
