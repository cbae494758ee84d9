import { statfs } from "node:fs/promises";
import { describeFileError } from "@berth/proto";
import type { Logger } from "pino";
import { type Clock, sleep } from "../../runtime/clock.js";
import type { ServerProblem } from "../../runtime/server-problem.js";

/** Interval between two checks. */
const INTERVAL_MS = 10_000;

/**
 * Free space below which the server warns. etcd allocates two log files of 64 MB in advance, and copies its database
 * when it defragments.
 */
const LOW_BYTES = 256 * 1024 ** 2;

/** Number of free inodes below which the server warns. */
const LOW_INODES = 100;

/** Free space below which etcd can stop at any write. */
const CRITICAL_BYTES = 16 * 1024 ** 2;

const BYTES_PER_MIB = 1024 ** 2;

/** The `statfs` fields that are evaluated. */
export interface DiskStats {
  /** Bytes per block. */
  readonly bsize: number;
  readonly bavail: number;
  /** Total and free inodes; 0 for file systems without a fixed number of them. */
  readonly files: number;
  readonly ffree: number;
}

/** Returns the problem of a disk that will soon be full, with the remedy, or undefined if it has space. */
export function lowSpaceProblem(
  path: string,
  { bsize, bavail, files, ffree }: DiskStats,
): ServerProblem | undefined {
  const freeBytes = bsize * bavail;
  const hasFewInodes = files > 0 && ffree < LOW_INODES;
  if (freeBytes >= LOW_BYTES && !hasFewInodes) return undefined;
  const free = hasFewInodes ? `${ffree} inodes` : `${Math.floor(freeBytes / BYTES_PER_MIB)} MiB`;
  const message = `the disk of ${path} has only ${free} free; free some space before etcd stops`;
  return { message, isCritical: freeBytes < CRITICAL_BYTES };
}

/** Watches the disk of a server's data directory. */
export class DiskWatch {
  readonly #path: string;
  #problem: ServerProblem | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  get problem(): ServerProblem | undefined {
    return this.#problem;
  }

  /** Checks the disk at an interval, and logs each change, until `signal` is aborted. */
  async run(
    { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      const problem = await this.check();
      if (problem !== undefined && this.#problem === undefined) logger.warn(problem.message);
      if (problem === undefined && this.#problem !== undefined) {
        logger.info(`the disk of ${this.#path} has space again`);
      }
      this.#problem = problem;
      await sleep(clock, INTERVAL_MS, signal);
    }
  }

  async check(): Promise<ServerProblem | undefined> {
    return statfs(this.#path).then(
      (stats) => lowSpaceProblem(this.#path, stats),
      (error: unknown) => ({ message: describeFileError(error, this.#path), isCritical: true }),
    );
  }
}
