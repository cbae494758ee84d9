import { isDeepStrictEqual } from "node:util";
import { onAbort } from "../runtime/abort.js";
import type { SessionRegistry } from "./session-registry.js";

export interface ServerAnnouncement {
  /** Returns the addresses of all servers, sorted. */
  readonly servers: () => readonly string[];
  /** Calls the listener when a server may have come or gone. The returned function removes the listener. */
  readonly onChange: (listener: () => void) => () => void;
  readonly sessions: Pick<SessionRegistry, "broadcast">;
}

/**
 * Sends the addresses of the servers to all connected agents whenever they change, until the signal is aborted.
 * Otherwise, an agent that joined before the other servers would not find the next leader.
 */
export function announceServers(
  { servers, onChange, sessions }: ServerAnnouncement,
  signal: AbortSignal,
): void {
  let announced = servers();
  const stop = onChange(() => {
    const addresses = servers();
    if (isDeepStrictEqual(addresses, announced)) return;
    announced = addresses;
    sessions.broadcast({ $case: "servers", value: { addresses: [...addresses] } });
  });
  onAbort(signal, stop);
}
