import { isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import type { EtcdMember } from "../../core/membership/etcd-membership.js";
import { type Clock, sleep } from "../../runtime/clock.js";
import type { EtcdStore } from "../etcd/etcd-store.js";
import { hostOf } from "./cluster.js";
import type { EmbeddedEtcd } from "./embedded-etcd.js";

/**
 * Interval between two reads of the member list, which etcd cannot watch. A server with an old list still reaches the
 * etcd on its own host.
 */
const INTERVAL_MS = 3_000;

export interface TrackMembersOptions {
  readonly store: Pick<EtcdStore, "members" | "updateEndpoints">;
  readonly etcd: Pick<EmbeddedEtcd, "endpoint" | "recordMembers">;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Keeps the store's endpoints up to date, so that it can use other members while this server's member does not respond,
 * and records their addresses in the data directory, until `signal` is aborted.
 */
export async function trackMembers(
  { store, etcd, clock, logger }: TrackMembersOptions,
  signal: AbortSignal,
): Promise<void> {
  const { endpoint: own } = etcd;
  let lastOthers: string | undefined;
  while (!signal.aborted) {
    try {
      const voters = (await store.members.list(signal)).filter(({ isLearner }) => !isLearner);
      const others = clientUrls(voters).filter((url) => url !== own);
      if (others.join() !== lastOthers) {
        store.updateEndpoints([own, ...others]);
        // Also at the start: a crash may have prevented the record of the last change.
        etcd.recordMembers(voters.flatMap(({ peerUrls }) => peerUrls.map(hostOf)));
        const isChanged = lastOthers !== undefined || others.length > 0;
        if (isChanged) logger.info({ others }, "the members of etcd have changed");
        lastOthers = others.join();
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!isBerthError(error)) throw error;
      logger.debug({ err: error }, "failed to list the members of etcd");
    }
    await sleep(clock, INTERVAL_MS, signal);
  }
}

/** Returns the client URLs of the members that have started, in a stable order. */
function clientUrls(members: readonly EtcdMember[]): readonly string[] {
  return members.flatMap(({ clientUrls: [url] }) => (url === undefined ? [] : [url])).sort();
}
