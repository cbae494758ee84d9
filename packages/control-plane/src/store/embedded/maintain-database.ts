import { assertNever, isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import { type Clock, sleep } from "../../runtime/clock.js";
import type { DatabaseStatus, EtcdMaintenance } from "../etcd/etcd-maintenance.js";

/** Interval between two checks. Limits the time for which writes are refused before the database is defragmented. */
const INTERVAL_MS = 10_000;

/** Share of the quota below which a file needs no maintenance. */
const LARGE_RATIO = 0.8;

/** Used share of a large file below which defragmentation is worth its pause. */
const SPARSE_RATIO = 0.5;

/** Share of the quota below which etcd accepts writes again after the alarm. The gap to the quota prevents flapping. */
const DISARM_RATIO = 0.95;

const BYTES_PER_MIB = 1024 ** 2;

/** The next maintenance step for the database of a member. */
export type DatabaseStep =
  | { readonly kind: "none"; readonly problem: string | undefined; readonly isFull: boolean }
  /** Compact if writes are already refused, then defragment. */
  | { readonly kind: "defragment" }
  | { readonly kind: "disarm" };

/** Decides the next step. `isDefragmented` says whether the last step has defragmented the database. */
export function planDatabaseStep(
  { fileBytes, usedBytes, hasSpaceAlarm }: DatabaseStatus,
  { quotaBytes, isDefragmented }: { readonly quotaBytes: number; readonly isDefragmented: boolean },
): DatabaseStep {
  if (hasSpaceAlarm) {
    if (!isDefragmented) return { kind: "defragment" };
    if (fileBytes < quotaBytes * DISARM_RATIO) return { kind: "disarm" };
    const problem =
      `the etcd database is full (${mib(usedBytes)} of ${mib(quotaBytes)} MiB), and etcd refuses writes; ` +
      "start all servers with a larger --etcd-quota";
    return { kind: "none", problem, isFull: true };
  }
  if (fileBytes < quotaBytes * LARGE_RATIO) return { kind: "none", problem: undefined, isFull: false };
  if (usedBytes < fileBytes * SPARSE_RATIO && !isDefragmented) return { kind: "defragment" };
  const problem =
    `the etcd database takes ${mib(fileBytes)} of ${mib(quotaBytes)} MiB, after which etcd refuses writes; ` +
    "remove stacks, secrets and configs that are not used, or start all servers with a larger --etcd-quota";
  return { kind: "none", problem, isFull: false };
}

function mib(bytes: number): number {
  return Math.round(bytes / BYTES_PER_MIB);
}

export interface DatabaseMaintenanceOptions {
  readonly maintenance: Pick<EtcdMaintenance, "status" | "compact" | "defragment" | "disarmSpaceAlarm">;
  readonly quotaBytes: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Keeps the database of this server's etcd below its quota. Each server does this for its own member, independently of
 * the leader: with the NOSPACE alarm, etcd grants no leases, so no leader can be elected.
 */
export class DatabaseMaintenance {
  readonly #options: DatabaseMaintenanceOptions;
  #problem: string | undefined;
  #isFull = false;

  constructor(options: DatabaseMaintenanceOptions) {
    this.#options = options;
  }

  /** The problem of the database that needs an administrator, with the remedy. Undefined while there is enough space. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Whether etcd refuses writes. */
  get isFull(): boolean {
    return this.#isFull;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    while (!signal.aborted) {
      try {
        await this.maintain(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!isBerthError(error)) throw error;
        logger.debug({ err: error }, "failed to check the etcd database");
      }
      await sleep(clock, INTERVAL_MS, signal);
    }
  }

  /**
   * Takes steps until none is left.
   *
   * @throws the errors of etcd
   */
  async maintain(signal: AbortSignal): Promise<void> {
    const { maintenance, quotaBytes, logger } = this.#options;
    for (let isDefragmented = false; ; ) {
      const status = await maintenance.status(signal);
      const step = planDatabaseStep(status, { quotaBytes, isDefragmented });
      switch (step.kind) {
        case "none":
          if (step.problem !== undefined && step.problem !== this.#problem) logger.error(step.problem);
          this.#problem = step.problem;
          this.#isFull = step.isFull;
          return;
        case "defragment":
          logger.warn({ ...status, quotaBytes }, "the etcd database is near its quota; freeing space");
          this.#isFull = status.hasSpaceAlarm;
          if (status.hasSpaceAlarm) await maintenance.compact(signal);
          await maintenance.defragment(signal);
          isDefragmented = true;
          break;
        case "disarm":
          await maintenance.disarmSpaceAlarm(signal);
          logger.warn({ ...status, quotaBytes }, "the etcd database has space again; etcd accepts writes");
          break;
        default:
          assertNever(step);
      }
    }
  }
}
