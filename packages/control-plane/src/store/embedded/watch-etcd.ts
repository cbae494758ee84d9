import { isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import { type Clock, sleep } from "../../runtime/clock.js";
import type { ServerProblem } from "../../runtime/server-problem.js";
import type { EtcdStore } from "../etcd/etcd-store.js";
import { findLogTruncation } from "./check-log.js";
import type { EmbeddedEtcd } from "./embedded-etcd.js";
import { DatabaseMaintenance } from "./maintain-database.js";
import { DiskWatch } from "./watch-disk.js";

/** Pause between two attempts to check etcd's log while etcd does not respond. */
const LOG_CHECK_INTERVAL_MS = 5_000;

export interface EtcdWatchOptions {
  readonly etcd: Pick<EmbeddedEtcd, "problem">;
  readonly dataDir: string;
  readonly quotaBytes: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The problems of an embedded etcd. `run` keeps them up to date until its signal is aborted. */
export interface EtcdWatch {
  problems(): readonly ServerProblem[];
  run(store: Pick<EtcdStore, "maintenance" | "leases">, signal: AbortSignal): Promise<void>;
}

/** Watches the process, the database and the disk of an embedded etcd. */
export function watchEtcd({ etcd, dataDir, quotaBytes, clock, logger }: EtcdWatchOptions): EtcdWatch {
  const disk = new DiskWatch(dataDir);
  let database: DatabaseMaintenance | undefined;
  let logLoss: string | undefined;
  /** Checks until etcd responds: the log cannot be truncated while etcd is running. */
  const checkLog = async (store: Pick<EtcdStore, "maintenance" | "leases">, signal: AbortSignal) => {
    while (!signal.aborted) {
      const truncation = await findLogTruncation(
        { ...store, dataDir, wasTruncated: logLoss !== undefined },
        signal,
      ).catch((error: unknown) => {
        if (!isBerthError(error) && !signal.aborted) throw error;
        return "unknown" as const;
      });
      if (truncation !== "unknown" && truncation !== undefined && logLoss === undefined) {
        logger.error(truncation);
      }
      if (truncation !== "unknown") logLoss = truncation;
      if (truncation === undefined) return;
      await sleep(clock, LOG_CHECK_INTERVAL_MS, signal);
    }
  };
  return {
    problems: () => [
      ...problem(etcd.problem, true),
      ...problem(logLoss, true),
      ...problem(database?.problem, database?.isFull ?? false),
      ...(disk.problem === undefined ? [] : [disk.problem]),
    ],
    run: async ({ maintenance, leases }, signal) => {
      database = new DatabaseMaintenance({ maintenance, quotaBytes, clock, logger });
      await Promise.all([
        database.run(signal),
        disk.run({ clock, logger }, signal),
        checkLog({ maintenance, leases }, signal),
      ]);
    },
  };
}

function problem(message: string | undefined, isCritical: boolean): readonly ServerProblem[] {
  return message === undefined ? [] : [{ message, isCritical }];
}
