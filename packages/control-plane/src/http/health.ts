import { BERTH_VERSION } from "@berth/proto";
import type { Role } from "../server/role.js";
import { LEADER_KEY } from "../store/keys.js";
import { readOne } from "../store/read.js";
import type { Store } from "../store/store.js";
import { type HttpAnswer, json } from "./http-server.js";

/** Less than a health checker usually waits. */
const ETCD_TIMEOUT_MS = 1_500;

/** 200 while etcd answers and a leader is known; the body says which of them is missing. */
export async function health(store: Store, role: Role): Promise<HttpAnswer> {
  const etcd = await readOne(store, LEADER_KEY, AbortSignal.timeout(ETCD_TIMEOUT_MS)).then(
    () => "reachable" as const,
    () => "unreachable" as const,
  );
  const leading = role.leadership !== undefined;
  const ok = etcd === "reachable" && role.target !== undefined;
  return json(ok ? 200 : 503, {
    status: ok ? "ok" : "unavailable",
    role: leading ? "leader" : "follower",
    leader: role.leaderAddress ?? null,
    etcd,
    version: BERTH_VERSION,
  });
}
