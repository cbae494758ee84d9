import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";

/**
 * Opens the socket of a published UDP port. An empty address means all IPv4 and IPv6 addresses, or all IPv4 addresses
 * on a host without IPv6.
 *
 * @throws system error (`code`) if the port is not available
 */
export async function bindDatagramSocket(address: string, port: number): Promise<Socket> {
  if (address !== "") return bindTo(isIPv6(address) ? "udp6" : "udp4", address, port);
  try {
    return await bindTo("udp6", "::", port);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "EAFNOSUPPORT" && code !== "EADDRNOTAVAIL") throw error;
    return bindTo("udp4", "0.0.0.0", port);
  }
}

async function bindTo(type: "udp4" | "udp6", address: string, port: number): Promise<Socket> {
  const socket = createSocket(type);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind({ address, port, exclusive: true }, resolve);
    });
  } catch (error) {
    socket.close();
    throw error;
  }
  socket.removeAllListeners("error");
  return socket;
}
