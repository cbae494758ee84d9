import { isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import { type Clock, sleep } from "../runtime/clock.js";

/** Not in the first moments of a term, in which there is most to write; costs one question to our own host. */
const EVERY_MS = 3_000;

export interface EtcdLeaderOptions {
  /** Moves the store's lead to this host; false: it was here. */
  readonly moveEtcdLeader: (signal: AbortSignal) => Promise<boolean>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Keeps the store's own leader on the host of ours while we lead: the loss of another host then costs no election of the
 * store's, and the loss of this one costs both elections at the same time.
 */
export async function keepEtcdLeaderLocal(
  { moveEtcdLeader: bringHome, clock, logger }: EtcdLeaderOptions,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await sleep(clock, EVERY_MS, signal);
    if (signal.aborted) return;
    try {
      if (await bringHome(signal)) logger.info("etcd's lead was moved to this host");
    } catch (error) {
      if (signal.aborted) return;
      if (!isBerthError(error)) throw error;
      logger.debug({ err: error }, "etcd's lead could not be moved to this host");
    }
  }
}
