import { BerthError } from "@berth/proto";

/** A server on the same host. */
const DEFAULT_SERVER = "127.0.0.1:7400";

export interface KnownServers {
  /** From the command line. */
  readonly configured: readonly string[];
  /** From the state file: those that `berth agent join` and the last leader have named. */
  readonly saved: readonly string[];
  readonly hasJoined: boolean;
}

/**
 * Returns the servers in the order in which to try them.
 * @throws BerthError BERTH_INPUT_INVALID on a host that has joined a cluster and knows none of its servers any more
 */
export function initialServers({ configured, saved, hasJoined }: KnownServers): readonly string[] {
  const isDefaultUsed = configured.length === 0 && !hasJoined;
  const servers = new Set([...(isDefaultUsed ? [DEFAULT_SERVER] : configured), ...saved]);
  if (servers.size > 0) return [...servers];
  throw new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: "this host has joined a cluster, but its state file names no server: pass --server HOST:PORT",
  });
}
