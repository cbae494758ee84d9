import { isBerthError, scaleTiming } from "@berth/proto";
import { SCHEMA } from "../core/schema/migrations.js";
import { sleep } from "../runtime/clock.js";
import { ensureSchema } from "../store/schema.js";
import type { ServerOptions } from "./server-options.js";

/** Time for which the start waits for etcd, which may start at the same time. */
const TIMEOUT_MS = scaleTiming(10_000);

/** Pause between two attempts to reach etcd. */
const RETRY_MS = 250;

/**
 * Waits until etcd responds and its schema is supported.
 *
 * @throws BerthError BERTH_SCHEMA_UNSUPPORTED, BERTH_ETCD_UNAVAILABLE after 10 s
 */
export async function waitForEtcd(
  {
    store,
    runtime: { clock },
    logger,
    schema = SCHEMA,
  }: Pick<ServerOptions, "store" | "runtime" | "logger" | "schema">,
  signal: AbortSignal,
): Promise<void> {
  const deadlineMs = clock.nowMs() + TIMEOUT_MS;
  for (;;) {
    try {
      return await ensureSchema(store, schema.versions, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!isBerthError(error, "BERTH_ETCD_UNAVAILABLE") || clock.nowMs() > deadlineMs) throw error;
      logger.debug({ err: error }, "waiting for etcd");
    }
    await sleep(clock, RETRY_MS, signal);
  }
}
