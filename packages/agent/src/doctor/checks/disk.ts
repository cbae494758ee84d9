import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { type Check, type Finding, failed, ok, warning } from "../check.js";

/** Ratio of free blocks or inodes below which image pulls are likely to fail soon. */
const LOW_RATIO = 0.1;
/** Ratio of free blocks or inodes below which all writes are likely to fail soon. */
const CRITICAL_RATIO = 0.02;
const BYTES_PER_GIB = 1024 ** 3;

/** The fields of `statfs` that are evaluated. */
export interface DiskStats {
  /** Bytes per block. */
  readonly bsize: number;
  readonly blocks: number;
  readonly bavail: number;
  /** Total and free inodes. 0 for filesystems without a fixed number of inodes. */
  readonly files: number;
  readonly ffree: number;
}

/** Checks the disk of the agent's data directory. */
export const checkDataDisk: Check = async ({ dataDir }) => {
  return [evaluateDisk("data directory", dataDir, await statfs(await nearestExistingPath(dataDir)))];
};

/** Returns the path or its nearest parent that exists: the agent creates its data directory on its first start. */
async function nearestExistingPath(path: string): Promise<string> {
  try {
    await statfs(path);
    return path;
  } catch (error) {
    const parent = dirname(path);
    if (parent === path) throw error;
    return nearestExistingPath(parent);
  }
}

export function evaluateDisk(subject: string, path: string, stats: DiskStats): Finding {
  const { bsize, blocks, bavail, files, ffree } = stats;
  const freeRatio = Math.min(blocks > 0 ? bavail / blocks : 1, files > 0 ? ffree / files : 1);
  const free = `${path}: ${((bavail * bsize) / BYTES_PER_GIB).toFixed(1)} GiB free`;
  if (freeRatio > LOW_RATIO) return ok(subject, free);
  const message = `${free}, only ${(freeRatio * 100).toFixed(0)} % of its blocks or inodes`;
  const advice = "Free disk space: docker system df lists the space of images, containers and volumes.";
  return freeRatio > CRITICAL_RATIO ? warning(subject, message, advice) : failed(subject, message, advice);
}
