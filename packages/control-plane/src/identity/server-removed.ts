import { BerthError } from "@berth/proto";

/** Returns the error of a server that was removed from its cluster. */
export function serverRemovedError(dataDir?: string): BerthError {
  return new BerthError({
    code: "BERTH_SERVER_REMOVED",
    message:
      "this server was removed from its cluster and no longer accepts calls; to add this host again, " +
      `remove ${dataDir ?? "its data directory"} and run "berth server join" with a new token`,
    details: dataDir === undefined ? {} : { dataDir },
  });
}
