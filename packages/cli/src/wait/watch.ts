import { setTimeout as sleep } from "node:timers/promises";
import { isBerthError, type WatchServicesResponse } from "@berth/proto";
import type { ControlClient } from "../client/client.js";

/** A new leader is there within seconds; asking more often does not make it faster. */
const RECONNECT_MS = 500;

export interface WatchOptions {
  readonly signal: AbortSignal;
  /** The connection was lost and is being made again. */
  readonly onLost: (reason: string) => void;
}

/**
 * What the server says of services, for as long as somebody listens. Outlives the server that it started with:
 * a lost stream is opened again and begins with the whole state.
 */
export async function* watchServices(
  client: ControlClient,
  serviceIds: readonly string[],
  { signal, onLost }: WatchOptions,
): AsyncGenerator<WatchServicesResponse> {
  while (!signal.aborted) {
    try {
      yield* client.watchServices({ serviceIds: [...serviceIds] }, { signal });
      onLost("the server ended the stream");
    } catch (error) {
      if (!isPassing(error)) throw error;
      onLost(error instanceof Error ? error.message : String(error));
    }
    await sleep(RECONNECT_MS, undefined, { signal });
  }
}

/** Errors of a cluster that is changing its leader. */
function isPassing(error: unknown): boolean {
  return (
    isBerthError(error, "BERTH_SERVER_UNREACHABLE") ||
    isBerthError(error, "BERTH_NO_LEADER") ||
    isBerthError(error, "BERTH_NOT_LEADER") ||
    isBerthError(error, "BERTH_CANCELLED") ||
    isBerthError(error, "BERTH_ETCD_UNAVAILABLE")
  );
}
