import type { Http2Server, Http2Session } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import type { ConnectionAddresses } from "./accepted-connections.js";

/** Interval between two checks. */
const CHECK_MS = 5_000;

/** Internal fields of a grpc-js server. */
interface ServerInternals {
  readonly http2Servers: ReadonlyMap<Http2Server, unknown>;
}

/**
 * Closes the sockets of the sessions that the server has given up, for example because a client did not answer a ping.
 * Node.js closes the socket of a destroyed session after its last write, which never ends when the client reads nothing.
 * The returned function ends the checks.
 */
export function closeStuckConnections(
  server: Server,
  closeSocket: (addresses: ConnectionAddresses) => void,
): () => void {
  const sessions = new Map<Http2Session, ConnectionAddresses>();
  const { http2Servers } = server as unknown as ServerInternals;
  for (const http2Server of http2Servers.keys()) {
    http2Server.on("session", (session) => {
      if (session.destroyed) return;
      const { localAddress, localPort, remoteAddress, remotePort } = session.socket;
      sessions.set(session, { localAddress, localPort, remoteAddress, remotePort });
      session.once("close", () => sessions.delete(session));
    });
  }
  const timer = setInterval(() => {
    for (const [session, addresses] of sessions) {
      if (session.destroyed) closeSocket(addresses);
    }
  }, CHECK_MS);
  timer.unref();
  return () => clearInterval(timer);
}
