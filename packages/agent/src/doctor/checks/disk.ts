import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { Check } from "../check.js";
import { type Finding, failed, ok, warning } from "../finding.js";

/** Of its blocks, and of its inodes. Below the first images do not fit soon; below the second nothing is written soon. */
const LOW_SHARE = 0.1;
const EMPTY_SHARE = 0.02;
const BYTES_PER_GIB = 1024 ** 3;

export interface DiskFacts {
  readonly bsize: number;
  readonly blocks: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
}

/** The disk that the agent's own state is on. */
export const checkDataDisk: Check = async ({ dataDir }) => {
  return [judgeDisk("data folder", dataDir, await statfs(await existing(dataDir)))];
};

/** An agent that has never run has no folder yet: it will be on its parent's disk. */
async function existing(path: string): Promise<string> {
  try {
    await statfs(path);
    return path;
  } catch (error) {
    const parent = dirname(path);
    if (parent === path) throw error;
    return existing(parent);
  }
}

export function judgeDisk(subject: string, path: string, facts: DiskFacts): Finding {
  const { bsize, blocks, bavail, files, ffree } = facts;
  const share = Math.min(blocks > 0 ? bavail / blocks : 1, files > 0 ? ffree / files : 1);
  const free = `${path}: ${((bavail * bsize) / BYTES_PER_GIB).toFixed(1)} GiB free`;
  if (share > LOW_SHARE) return ok(subject, free);
  const message = `${free}, ${(share * 100).toFixed(0)} % of its room or of its inodes`;
  const advice = "Make room: docker system df says what images, containers and volumes take.";
  return share > EMPTY_SHARE ? warning(subject, message, advice) : failed(subject, message, advice);
}
