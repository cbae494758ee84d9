import type { Socket } from "node:net";
import type { ChannelCredentials } from "@grpc/grpc-js";

/**
 * Makes a closing client also close connections whose TLS handshake is in progress. grpc-js waits for the end of such a
 * handshake, without a deadline. A busy server would therefore serve handshakes of clients that no longer exist.
 */
export function closeHandshakesWithClient(credentials: ChannelCredentials): ChannelCredentials {
  const create = credentials._createSecureConnector.bind(credentials);
  credentials._createSecureConnector = (...args) => {
    const connector = create(...args);
    const sockets = new Set<Socket>();
    return {
      waitForReady: () => connector.waitForReady(),
      getCallCredentials: () => connector.getCallCredentials(),
      connect: async (socket) => {
        sockets.add(socket);
        try {
          return await connector.connect(socket);
        } finally {
          sockets.delete(socket);
        }
      },
      // Called when the client closes.
      destroy: () => {
        connector.destroy();
        for (const socket of sockets) socket.destroy();
      },
    };
  };
  return credentials;
}
