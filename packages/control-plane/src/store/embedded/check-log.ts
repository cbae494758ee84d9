import { isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import { type Clock, sleep } from "../../runtime/clock.js";
import type { EtcdMaintenance } from "../etcd/etcd-maintenance.js";
import type { Leases } from "../store.js";

/** The shortest time to live that etcd grants. */
const LEASE_TTL_SECONDS = 2;

/** Pause between two attempts to check the log while etcd does not respond. */
const RETRY_MS = 5_000;

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

/** The parts of the store with which the log is checked. */
export type LogCheckStore = Pick<LogCheckOptions, "maintenance" | "leases">;

export interface LogCheckRunOptions {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Checks the log of this server's etcd after its start. etcd cannot truncate the log while it runs. */
export class LogCheck {
  readonly #dataDir: string;
  #problem: string | undefined;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  /** Why etcd does not respond to writes, with the remedy. Undefined while the log is complete or not checked yet. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Repeats the check until the log is complete or `signal` is aborted. */
  async run(store: LogCheckStore, { clock, logger }: LogCheckRunOptions, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const problem = await findLogTruncation(
          { ...store, dataDir: this.#dataDir, wasTruncated: this.#problem !== undefined },
          signal,
        );
        if (problem !== undefined && this.#problem === undefined) logger.error(problem);
        this.#problem = problem;
        if (problem === undefined) return;
      } catch (error) {
        if (!isBerthError(error) && !signal.aborted) throw error;
      }
      await sleep(clock, RETRY_MS, signal);
    }
  }
}
