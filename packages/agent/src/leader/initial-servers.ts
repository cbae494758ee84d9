import { BerthError } from "@berth/proto";

export interface KnownServers {
  /** From the command line. */
  readonly configured: readonly string[];
  /** From the state file: those that `berth agent join` and the last leader have named. */
  readonly saved: readonly string[];
}

/**
 * Returns the servers in the order in which to try them.
 * @throws BerthError BERTH_INPUT_INVALID on a host that knows none of the servers of its cluster any more
 */
export function initialServers({ configured, saved }: KnownServers): readonly string[] {
  const servers = new Set([...configured, ...saved]);
  if (servers.size > 0) return [...servers];
  throw new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: "the state file of this host names no server of its cluster: pass --server HOST:PORT",
  });
}
