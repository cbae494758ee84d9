import type { Http2Server, Settings } from "node:http2";
import type { Server } from "@grpc/grpc-js";

/**
 * Number of bytes that a client may send before it must wait for the server, on a connection and in each call. HTTP/2
 * starts with 64 KiB, which limits the push of an image to 6 MiB/s when the server takes 10 ms to respond, as over the
 * internet.
 */
export const SERVER_WINDOW_BYTES = 1024 * 1024;

/**
 * Number of bytes that a server may send before it must wait for the client. The buffers of a socket hold them, also
 * those of a Unix socket (208 KiB). Node.js reads nothing from a connection while it is waiting to write to it. If more
 * bytes were on their way in both directions than the kernel holds, both sides would wait for each other.
 */
export const CLIENT_WINDOW_BYTES = 128 * 1024;

/** Internal fields of a grpc-js server, whose options only cover the windows of clients. */
interface ServerInternals {
  readonly commonServerOptions: { readonly settings?: Settings };
  readonly http2Servers: ReadonlyMap<Http2Server, unknown>;
}

/** Sets the window of calls. Applies to listeners that are added later. */
export function setCallWindow(server: Server): void {
  const { settings } = internalsOf(server).commonServerOptions;
  // Without settings, calls keep the window of HTTP/2, which is only slower.
  if (settings !== undefined) settings.initialWindowSize = SERVER_WINDOW_BYTES;
}

/** Sets the window of connections that the present listeners will accept. */
export function setConnectionWindow(server: Server): void {
  for (const http2Server of internalsOf(server).http2Servers.keys()) {
    http2Server.on("session", (session) => {
      if (!session.destroyed) session.setLocalWindowSize(SERVER_WINDOW_BYTES);
    });
  }
}

function internalsOf(server: Server): ServerInternals {
  return server as unknown as ServerInternals;
}
