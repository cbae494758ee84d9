import { randomBytes } from "node:crypto";
import { type Clock, systemClock } from "../store/clock.js";

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

/** Random bytes are fetched for many ids at once: a call for each costs more than all else about a new task. */
const POOL_BYTES = 200 * ID_LENGTH;

export const systemRuntime: Runtime = {
  clock: systemClock,
  now: () => Date.now(),
  random: () => Math.random(),
  newId: idSource(),
};

function idSource(): () => string {
  let pool = Buffer.alloc(0);
  let used = 0;
  return () => {
    if (used >= pool.length) {
      pool = randomBytes(POOL_BYTES);
      used = 0;
    }
    let id = "";
    for (const end = used + ID_LENGTH; used < end; used++) {
      id += ID_LETTERS.charAt((pool[used] ?? 0) % ID_LETTERS.length);
    }
    return id;
  };
}
