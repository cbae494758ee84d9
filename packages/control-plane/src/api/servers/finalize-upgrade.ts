import {
  assertNever,
  BERTH_VERSION,
  BerthError,
  type FinalizeUpgradeResponse,
  type Server,
  Server_State as State,
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
  /** Raises the version, and ends the term soon after. The next leader migrates the records before it serves. */
  readonly raise: (to: number, signal: AbortSignal) => Promise<void>;
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
  const { current, versions, servers, countMembers, raise } = schema;
  const memberCount = await countMembers(signal);
  const running = servers();
  const addresses = new Set(running.map(({ address }) => address));
  const stopped = [...state.servers.values()]
    .filter((server) => isStopped(server, addresses))
    .map(serverName);
  const decision = decideRaise({ current, servers: running, stopped, memberCount }, versions);
  switch (decision.kind) {
    case "current":
      return { from: current, to: current };
    case "refuse":
      throw new BerthError({
        code: "BERTH_VERSION_UNSUPPORTED",
        message: `the schema stays at version ${current}: ${decision.reason}; upgrade or start them with release ${BERTH_VERSION}, or remove them`,
        details: { current: String(current) },
      });
    case "raise":
      // This transaction contains the audit record of the call. The term ends before another one could be written.
      await writer.submit(() => ({ changes: [], result: undefined }), signal);
      await raise(decision.to, signal);
      return { from: current, to: decision.to };
    default:
      return assertNever(decision);
  }
}

/** Returns whether a server is not running. The record of a server that has just stopped says for a moment that it is up. */
function isStopped({ state, address }: Server, runningAddresses: ReadonlySet<string>): boolean {
  return state === State.DOWN || (state === State.UP && !runningAddresses.has(address));
}
