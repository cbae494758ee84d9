import { randomFillSync } from "node:crypto";
import { type Clock, systemClock } from "./clock.js";

/** Sources of time and randomness. A simulation injects deterministic ones. */
export interface Runtime {
  readonly clock: Clock;
  /** Returns the wall-clock time in ms since the epoch. */
  wallClockMs(): number;
  /** Returns a number in [0, 1). */
  random(): number;
  /** Returns a new ID, unique in the cluster. Task IDs are part of container names. */
  newId(): string;
}

/**
 * Length of an ID. 20 characters of a 32-letter alphabet are 100 random bits: as unique as a UUID, but shorter in a
 * container name.
 */
const ID_LENGTH = 20;
const ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

/**
 * Number of random bytes to read at once, for 200 IDs. One system call per ID would dominate the cost of a new task.
 */
const POOL_BYTES = 200 * ID_LENGTH;

export const systemRuntime: Runtime = {
  clock: systemClock,
  wallClockMs: () => Date.now(),
  random: () => Math.random(),
  newId: createIdGenerator(),
};

/** Returns a function that returns a new ID with each call. */
function createIdGenerator(): () => string {
  const pool = Buffer.alloc(POOL_BYTES);
  let usedBytes = POOL_BYTES;
  return () => {
    if (usedBytes >= POOL_BYTES) {
      randomFillSync(pool);
      for (let index = 0; index < POOL_BYTES; index += 1) {
        pool[index] = ID_ALPHABET.charCodeAt((pool[index] ?? 0) % ID_ALPHABET.length);
      }
      usedBytes = 0;
    }
    usedBytes += ID_LENGTH;
    // Decodes the bytes into a flat string. A concatenated string would take several times the memory.
    return pool.toString("latin1", usedBytes - ID_LENGTH, usedBytes);
  };
}
