import { BerthError } from "@berth/proto";

export interface KnownServers {
  /** The servers from the command line. */
  readonly configured: readonly string[];
  /** From the state file: servers learned from `berth agent join` and the last leader. */
  readonly saved: readonly string[];
}

/**
 * Returns the servers in the order in which to try them.
 *
 * @throws BerthError BERTH_INPUT_INVALID on a host that no longer knows any server of its cluster
 */
export function initialServers({ configured, saved }: KnownServers): readonly string[] {
  const servers = new Set([...configured, ...saved]);
  if (servers.size > 0) return [...servers];
  throw new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: "this host's state file contains no server of its cluster; pass --server HOST:PORT",
  });
}
