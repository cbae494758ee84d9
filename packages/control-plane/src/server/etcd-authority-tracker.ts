import type { EtcdAuthorities } from "@berth/proto";
import type { Logger } from "pino";
import { isSameSet, trustedAuthorities } from "../core/authorities/etcd-rotation.js";
import { type Clock, sleep } from "../runtime/clock.js";
import { decodeEntry } from "../state/change.js";
import { ETCD_AUTHORITIES_KEY } from "../store/keys.js";
import { listAndWatch } from "../store/list-watch.js";
import { readOne } from "../store/read.js";
import type { Store } from "../store/store.js";
import type { OwnEtcd } from "./own-etcd.js";

/** Pause after a step that has failed. */
const RETRY_MS = 1_000;

export interface EtcdAuthorityTrackerOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly serverId: string;
  readonly etcd: OwnEtcd;
}

/** Follows the rotations of etcd's authority on this server, until the signal is aborted. */
export async function trackEtcdAuthorities(
  options: EtcdAuthorityTrackerOptions,
  signal: AbortSignal,
): Promise<void> {
  const { store, clock } = options;
  for await (const { kind } of listAndWatch({ store, clock, span: { key: ETCD_AUTHORITIES_KEY } }, signal)) {
    if (kind === "unreachable") continue;
    while (!signal.aborted && !(await tryFollow(options, signal))) await sleep(clock, RETRY_MS, signal);
  }
}

/** Applies the record. Returns whether that has succeeded. */
async function tryFollow(options: EtcdAuthorityTrackerOptions, signal: AbortSignal): Promise<boolean> {
  try {
    const record = await readRecord(options.store, signal);
    if (record !== undefined) await follow(record, options, signal);
    return true;
  } catch (error) {
    if (signal.aborted) return true;
    options.logger.warn({ err: error }, "cannot follow the rotation of etcd's CA; trying again");
    return false;
  }
}

async function follow(
  record: EtcdAuthorities,
  { etcd, serverId, logger }: EtcdAuthorityTrackerOptions,
  signal: AbortSignal,
): Promise<void> {
  const trusted = trustedAuthorities(record);
  await etcd.setAuthorities(trusted, signal);
  const fingerprints = trusted.map(({ fingerprint }) => fingerprint);
  if (record.restartingServer !== serverId || isSameSet(etcd.trust.trusted, fingerprints)) return;
  await etcd.restart(signal);
  logger.info({ authorities: fingerprints }, "restarted etcd to trust these CAs");
}

async function readRecord(store: Store, signal: AbortSignal): Promise<EtcdAuthorities | undefined> {
  const entry = await readOne(store, ETCD_AUTHORITIES_KEY, signal);
  const decoded = entry && decodeEntry(entry);
  return decoded?.kind === "put" && decoded.put.kind === "put-etcdAuthorities"
    ? decoded.put.etcdAuthorities
    : undefined;
}
