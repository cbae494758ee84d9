import { isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import { type Clock, sleep } from "../runtime/clock.js";

/** Interval between two checks. The first check is also delayed, because the start of a term has the most writes. */
const INTERVAL_MS = 3_000;

export interface EtcdLeaderOptions {
  /** Makes the etcd member on this host etcd's leader. Resolves to whether another member was the leader before. */
  readonly moveEtcdLeader: (signal: AbortSignal) => Promise<boolean>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Keeps etcd's leader on the host of berth's leader. The loss of another host then costs no etcd election, and the loss
 * of this host costs both elections at the same time.
 */
export async function keepEtcdLeaderLocal(
  { moveEtcdLeader, clock, logger }: EtcdLeaderOptions,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await sleep(clock, INTERVAL_MS, signal);
    if (signal.aborted) return;
    try {
      if (await moveEtcdLeader(signal)) logger.info("moved etcd's leader to this host");
    } catch (error) {
      if (signal.aborted) return;
      if (!isBerthError(error)) throw error;
      logger.debug({ err: error }, "failed to move etcd's leader to this host");
    }
  }
}
