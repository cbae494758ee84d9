import { isBerthError } from "@berth/proto";
import type { EtcdMaintenance } from "../etcd/etcd-maintenance.js";
import type { Leases } from "../store.js";

/** The shortest time to live that etcd grants. */
const LEASE_TTL_SECONDS = 2;

export interface LogCheckOptions {
  readonly maintenance: Pick<EtcdMaintenance, "position">;
  readonly leases: Pick<Leases, "grant" | "revoke">;
  readonly dataDir: string;
  /** Whether the last check found a truncated log, which may meanwhile have an entry for each revision and still be short. */
  readonly wasTruncated: boolean;
}

/**
 * Returns why etcd does not respond to writes although it serves reads, or undefined if it serves writes.
 *
 * A log that was truncated in the middle ends before the last entry that the database contains. etcd starts with it,
 * and skips all new entries up to that one. Every revision takes at least one entry, so a log with fewer entries is
 * suspicious; the one of a restored snapshot is short, too. A lease shows the difference.
 */
export async function findLogTruncation(
  { maintenance, leases, dataDir, wasTruncated }: LogCheckOptions,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { logIndex, revision } = await maintenance.position(signal);
  if (logIndex >= revision - 1n && !wasTruncated) return undefined;
  try {
    const { leaseId } = await leases.grant(LEASE_TTL_SECONDS, signal);
    await leases.revoke(leaseId, signal);
    return undefined;
  } catch (error) {
    if (!isBerthError(error, "BERTH_ETCD_UNAVAILABLE")) throw error;
    return (
      `the log of etcd in ${dataDir}/member/wal was truncated, and is shorter than the database (${logIndex} entries, ` +
      `revision ${revision}): etcd accepts no writes until both are equal; no data in the database is lost. ` +
      "Wait if few entries are missing, or restore a backup (berth backup restore)"
    );
  }
}
