import { setTimeout as sleep } from "node:timers/promises";
import { isBerthError } from "@berth/proto";
import type { Cli } from "../process/cli.js";

/** Time for which failed calls and streams are retried without a leader. An election takes a few seconds. */
const GIVE_UP_AFTER_MS = 15_000;

/** Pause before a failed call is retried. */
const RETRY_DELAY_MS = 500;

/** Pause before a stream is reopened. Agents need a moment to connect to the new leader, too. */
const REOPEN_DELAY_MS = 1_000;

/** Age from which a stream counts as established. A stream that fails earlier and without a message never was. */
const ESTABLISHED_AFTER_MS = 1_000;

/**
 * Returns whether a call failed because the servers, or the members of etcd, are electing a leader. The same call can
 * succeed within seconds. A server that has lost the leader names it in the details of BERTH_SERVER_UNREACHABLE.
 */
export function isElection(error: unknown): boolean {
  return (
    isBerthError(error, "BERTH_NO_LEADER") ||
    isBerthError(error, "BERTH_NOT_LEADER") ||
    isBerthError(error, "BERTH_ETCD_UNAVAILABLE") ||
    (isBerthError(error, "BERTH_SERVER_UNREACHABLE") && error.details.leader !== undefined)
  );
}

/**
 * Returns whether a call failed because the connection was lost. A server that shuts down cancels its calls in
 * progress.
 */
export function isConnectionLost(error: unknown): boolean {
  return isBerthError(error, "BERTH_SERVER_UNREACHABLE") || isBerthError(error, "BERTH_CANCELLED");
}

/** Returns whether a stream may have failed because of a leader change. Such a stream can be reopened. */
export function isLeaderChange(error: unknown): boolean {
  return isElection(error) || isConnectionLost(error);
}

/** Retries an idempotent call while the servers elect a leader. */
export async function retryDuringElection<T>(cli: Cli, call: () => Promise<T>): Promise<T> {
  const deadlineMs = cli.now() + GIVE_UP_AFTER_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!isElection(error) || cli.now() >= deadlineMs) throw error;
      await sleep(RETRY_DELAY_MS, undefined, { signal: cli.signal });
    }
  }
}

/**
 * Reads an endless stream, and reopens it after a leader change. `open` must skip messages that were already read.
 * Fails if the first attempt cannot connect, or if each attempt fails for 15 s.
 */
export async function* resumeStream<T>(
  cli: Cli,
  open: () => AsyncIterable<T>,
  signal: AbortSignal = cli.signal,
): AsyncGenerator<T> {
  let isEstablished = false;
  let openedAtMs = 0;
  let failingSinceMs: number | undefined;
  const openAndTrack = async function* (): AsyncGenerator<T> {
    openedAtMs = cli.now();
    for await (const message of open()) {
      isEstablished = true;
      failingSinceMs = undefined;
      yield message;
    }
  };
  const shouldReopen = (error: unknown): boolean => {
    const nowMs = cli.now();
    isEstablished ||= nowMs - openedAtMs > ESTABLISHED_AFTER_MS;
    // A stream can stay open for long without a message. It has then recovered from earlier failures.
    if (nowMs - openedAtMs > GIVE_UP_AFTER_MS) failingSinceMs = nowMs;
    failingSinceMs ??= nowMs;
    return isEstablished && isLeaderChange(error) && nowMs - failingSinceMs <= GIVE_UP_AFTER_MS;
  };
  yield* reopenStream(openAndTrack, { signal, delayMs: REOPEN_DELAY_MS, shouldReopen });
}

export interface ReopenOptions {
  readonly signal: AbortSignal;
  /** Pause before the stream is reopened. */
  readonly delayMs: number;
  /** Decides after an error, or after the end of the stream (undefined). Not called after `signal` is aborted. */
  readonly shouldReopen: (error: unknown) => boolean;
}

/** Reads a stream, and reopens it for as long as `shouldReopen` returns true. */
export async function* reopenStream<T>(
  open: () => AsyncIterable<T>,
  { signal, delayMs, shouldReopen }: ReopenOptions,
): AsyncGenerator<T> {
  for (;;) {
    try {
      yield* open();
      if (signal.aborted || !shouldReopen(undefined)) return;
    } catch (error) {
      if (signal.aborted || !shouldReopen(error)) throw error;
    }
    await sleep(delayMs, undefined, { signal });
  }
}
