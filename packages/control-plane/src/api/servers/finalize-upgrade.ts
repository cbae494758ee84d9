import {
  assertNever,
  BERTH_VERSION,
  BerthError,
  type FinalizeUpgradeResponse,
  type Server,
  Server_State as ServerState,
} from "@berth/proto";
import { serverName } from "../../core/membership/server-records.js";
import type { SchemaVersions } from "../../core/schema/migrations.js";
import { decideRaise, type RegisteredServer } from "../../core/schema/raise-schema.js";
import type { ApiContext } from "../api-context.js";

/** The schema of the records during one term. */
export interface SchemaControl {
  /** The version of all records. */
  readonly current: number;
  /** The versions that this release supports. */
  readonly versions: SchemaVersions;
  /** Returns the running servers. */
  readonly servers: () => readonly RegisteredServer[];
  /** Returns the number of members of the embedded etcd, or undefined for an external one. */
  readonly countMembers: (signal: AbortSignal) => Promise<number | undefined>;
  /** Raises the version. The term ends soon after, and the next leader migrates the records before it serves. */
  readonly raiseVersion: (to: number, signal: AbortSignal) => Promise<void>;
}

/**
 * Raises the schema to the newest version of this release. Servers of older releases cannot run afterwards.
 *
 * @throws BerthError BERTH_VERSION_UNSUPPORTED unless all servers support it
 */
export async function finalizeUpgrade(
  { schema, state, writer }: Pick<ApiContext, "schema" | "state" | "writer">,
  signal: AbortSignal,
): Promise<FinalizeUpgradeResponse> {
  const { current, versions } = schema;
  const memberCount = await schema.countMembers(signal);
  const running = schema.servers();
  const runningAddresses = new Set(running.map(({ address }) => address));
  const stopped = [...state.servers.values()]
    .filter((server) => isStopped(server, runningAddresses))
    .map(serverName);
  const decision = decideRaise({ current, servers: running, stopped, memberCount }, versions);
  switch (decision.kind) {
    case "current":
      return { from: current, to: current };
    case "refuse":
      throw new BerthError({
        code: "BERTH_VERSION_UNSUPPORTED",
        message: `the schema stays at version ${current}: ${decision.reason}; upgrade the servers to ${BERTH_VERSION} and start them, or remove them from the cluster`,
        details: { current: String(current) },
      });
    case "raise":
      // `recordCalls` adds the audit record to the changes of the call. The term ends before a later one could be written.
      await writer.submit(() => ({ changes: [], result: undefined }), signal);
      await schema.raiseVersion(decision.to, signal);
      return { from: current, to: decision.to };
    default:
      return assertNever(decision);
  }
}

/** Returns whether a server is not running. For a moment after a server stops, its record still says UP. */
function isStopped({ state, address }: Server, runningAddresses: ReadonlySet<string>): boolean {
  return state === ServerState.DOWN || (state === ServerState.UP && !runningAddresses.has(address));
}
