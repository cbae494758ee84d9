import type { WatchServicesResponse } from "@berth/proto";
import type { ControlClient } from "../client/client.js";
import { isLeaderChange, reopenStream } from "../client/leader-change.js";

/** Delay before reconnecting. An election takes seconds, so faster attempts would not help. */
const RECONNECT_DELAY_MS = 500;

export interface WatchOptions {
  readonly signal: AbortSignal;
  /** Called when the connection is lost and will be reopened. */
  readonly onLost: (reason: string) => void;
}

/**
 * Watches services until `signal` is aborted. A lost stream is reopened, so a watch survives any number of leader
 * changes. Each new stream starts with the complete state.
 */
export function watchServices(
  client: ControlClient,
  serviceIds: readonly string[],
  { signal, onLost }: WatchOptions,
): AsyncGenerator<WatchServicesResponse> {
  const shouldReopen = (error: unknown): boolean => {
    if (error !== undefined && !isLeaderChange(error)) return false;
    onLost(error instanceof Error ? error.message : "the server ended the stream");
    return true;
  };
  const open = () => client.watchServices({ serviceIds: [...serviceIds] }, { signal });
  return reopenStream(open, { signal, delayMs: RECONNECT_DELAY_MS, shouldReopen });
}
