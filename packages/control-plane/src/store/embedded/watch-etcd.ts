import type { Logger } from "pino";
import type { Clock } from "../../runtime/clock.js";
import type { ServerProblem } from "../../runtime/server-problem.js";
import type { EtcdStore } from "../etcd/etcd-store.js";
import { LogCheck } from "./check-log.js";
import type { EmbeddedEtcd } from "./embedded-etcd.js";
import { DatabaseMaintenance } from "./maintain-database.js";
import { DiskWatch } from "./watch-disk.js";

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

/** Watches the process, the log, the database and the disk of an embedded etcd. */
export function watchEtcd({ etcd, dataDir, quotaBytes, clock, logger }: EtcdWatchOptions): EtcdWatch {
  const disk = new DiskWatch(dataDir);
  const log = new LogCheck(dataDir);
  let database: DatabaseMaintenance | undefined;
  return {
    problems: () => [
      ...toProblems(etcd.problem, true),
      ...toProblems(log.problem, true),
      ...toProblems(database?.problem, database?.isFull ?? false),
      ...(disk.problem === undefined ? [] : [disk.problem]),
    ],
    run: async ({ maintenance, leases }, signal) => {
      database = new DatabaseMaintenance({ maintenance, quotaBytes, clock, logger });
      await Promise.all([
        database.run(signal),
        disk.run({ clock, logger }, signal),
        log.run({ maintenance, leases }, { clock, logger }, signal),
      ]);
    },
  };
}

function toProblems(message: string | undefined, isCritical: boolean): readonly ServerProblem[] {
  return message === undefined ? [] : [{ message, isCritical }];
}
