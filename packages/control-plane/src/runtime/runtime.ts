import { randomFillSync } from "node:crypto";
import { type Clock, systemClock } from "./clock.js";

/** Everything that is not decided by the program itself, so that a simulation can decide it. */
export interface Runtime {
  /** Monotonic time and timers. */
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  now(): number;
  /** In [0, 1). */
  random(): number;
  /** A fresh id of a service or task: unique in the cluster, part of container names. */
  newId(): string;
}

/** 20 of 32 letters are 100 random bits: as good as a UUID, and shorter in a container's name. */
const ID_LENGTH = 20;
const ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz";

/** Random bytes are fetched for many ids at once: a call for each would cost more than all else about a new task. */
const POOL_BYTES = 200 * ID_LENGTH;

export const systemRuntime: Runtime = {
  clock: systemClock,
  now: () => Date.now(),
  random: () => Math.random(),
  newId: idSource(),
};

function idSource(): () => string {
  const pool = Buffer.alloc(POOL_BYTES);
  let used = POOL_BYTES;
  return () => {
    if (used >= POOL_BYTES) {
      randomFillSync(pool);
      for (let at = 0; at < POOL_BYTES; at += 1) {
        pool[at] = ID_LETTERS.charCodeAt((pool[at] ?? 0) % ID_LETTERS.length);
      }
      used = 0;
    }
    used += ID_LENGTH;
    // In one piece: put together letter by letter it would stay a tree of pieces, several times as large.
    return pool.toString("latin1", used - ID_LENGTH, used);
  };
}
