import { BERTH_VERSION } from "@berth/proto";
import type { ServerProblem } from "../runtime/server-problem.js";
import { LEADER_KEY } from "../store/keys.js";
import { readOne } from "../store/read.js";
import type { Store } from "../store/store.js";
import { type HttpResponse, jsonResponse } from "./http-server.js";

/** Timeout of the etcd check. Shorter than the usual timeout of a health check. */
const ETCD_TIMEOUT_MS = 1_500;

/** The part of the server's role that /healthz reports. */
export interface ServerRole {
  readonly isLeader: boolean;
  readonly leaderAddress: string | undefined;
  /** Destination of calls. Undefined while no leader can handle them. */
  readonly route: unknown;
}

/**
 * Handles /healthz: returns 200 if etcd responds, a leader is known and there is no critical problem, otherwise 503.
 * The JSON body contains the details.
 */
export async function checkHealth(
  store: Store,
  role: ServerRole,
  problems: readonly ServerProblem[] = [],
): Promise<HttpResponse> {
  const etcd = await readOne(store, LEADER_KEY, AbortSignal.timeout(ETCD_TIMEOUT_MS)).then(
    () => "reachable" as const,
    () => "unreachable" as const,
  );
  const hasCritical = problems.some(({ isCritical }) => isCritical);
  const isHealthy = etcd === "reachable" && role.route !== undefined && !hasCritical;
  return jsonResponse(isHealthy ? 200 : 503, {
    status: isHealthy ? "ok" : "unavailable",
    role: role.isLeader ? "leader" : "follower",
    leader: role.leaderAddress ?? null,
    etcd,
    problems: problems.map(({ message }) => message),
    version: BERTH_VERSION,
  });
}
