import { setTimeout as sleep } from "node:timers/promises";
import { isBerthError } from "@berth/proto";
import type { Cli } from "../process/cli.js";

/** An election takes a few seconds: one that takes longer is a fault to be told. */
const PATIENCE_MS = 15_000;

/** Agents need a moment, too, until they are with the new leader. */
const PAUSE_MS = 1_000;

/** A stream that breaks sooner, before its first message, never was one: there is no such server. */
const FIRST_BREAK_MS = 1_000;

/**
 * Reads a stream that goes on for ever, and opens it again when the servers choose another leader. `open` has to see to
 * it that what was read is not told again.
 */
export async function* resumeStream<T>(cli: Cli, open: () => AsyncIterable<T>): AsyncGenerator<T> {
  let hasWorked = false;
  let failingSinceMs: number | undefined;
  for (;;) {
    const openedMs = cli.now();
    try {
      for await (const message of open()) {
        hasWorked = true;
        failingSinceMs = undefined;
        yield message;
      }
      return;
    } catch (error) {
      const nowMs = cli.now();
      // One that was silent for a while was open.
      hasWorked ||= nowMs - openedMs > FIRST_BREAK_MS;
      failingSinceMs ??= nowMs;
      if (!hasWorked || !isLeaderGone(error) || nowMs - failingSinceMs > PATIENCE_MS) throw error;
      await sleep(PAUSE_MS, undefined, { signal: cli.signal });
    }
  }
}

function isLeaderGone(error: unknown): boolean {
  return (
    isBerthError(error, "BERTH_NOT_LEADER") ||
    isBerthError(error, "BERTH_NO_LEADER") ||
    isBerthError(error, "BERTH_SERVER_UNREACHABLE")
  );
}
