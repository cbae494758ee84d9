import type { Http2Server, Settings } from "node:http2";
import type { Server } from "@grpc/grpc-js";

/**
 * Bytes that a peer may send before it must wait for the receiver, on a connection and in each call. HTTP/2 starts with
 * 64 KiB, which limits a copy to 6 MiB/s when the receiver takes 10 ms to answer, as on a busy host.
 */
export const FLOW_CONTROL_WINDOW_BYTES = 1024 * 1024;

/** Internal fields of a grpc-js server, whose options only cover the windows of clients. */
interface ServerInternals {
  readonly commonServerOptions: { readonly settings?: Settings };
  readonly http2Servers: ReadonlyMap<Http2Server, unknown>;
}

/** Sets the window of calls. Applies to listeners that are added later. */
export function setCallWindow(server: Server): void {
  const { settings } = internalsOf(server).commonServerOptions;
  // Without settings, calls keep the window of HTTP/2, which is only slower.
  if (settings !== undefined) settings.initialWindowSize = FLOW_CONTROL_WINDOW_BYTES;
}

/** Sets the window of connections that the present listeners will accept. */
export function setConnectionWindow(server: Server): void {
  for (const http2Server of internalsOf(server).http2Servers.keys()) {
    http2Server.on("session", (session) => {
      if (!session.destroyed) session.setLocalWindowSize(FLOW_CONTROL_WINDOW_BYTES);
    });
  }
}

function internalsOf(server: Server): ServerInternals {
  return server as unknown as ServerInternals;
}
