import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { loadTcpBinding, type TcpHandle } from "../../packages/agent/src/runtime/tcp-binding.js";

/** Below 32768, from where Linux assigns ports to sockets that request any free port. */
const UDP_PORTS = { first: 10_000, count: 20_000 };
const UDP_ATTEMPTS = 100;

/** Sockets that keep the reservations until the process exits. */
const reservations: (TcpHandle | Server)[] = [];

/**
 * Returns a TCP port that no other program is assigned until this process exits. A socket is bound to the port but does
 * not listen. Linux then does not assign the port to sockets that request any free port, but still lets one listener
 * bind it, because both set SO_REUSEADDR. Until then, connections are refused.
 */
export function reserveTcpPort(): number {
  const binding = loadTcpBinding();
  if (binding === undefined) throw new Error("this release of Node.js has no TCP binding");
  const handle = new binding.TCP(binding.SERVER);
  const name: { port?: number } = {};
  if (handle.bind6("::", 0, 0) !== 0 || handle.getsockname(name) !== 0) throw new Error("cannot bind a port");
  if (name.port === undefined) throw new Error("the socket has no port");
  reservations.push(handle);
  return name.port;
}

/**
 * Returns a UDP port that no other test is assigned until this process exits. Without SO_REUSEADDR, a UDP port cannot
 * be bound twice. The port is therefore outside the range from which Linux assigns ports, and an abstract Unix socket
 * named after it reserves it among test processes.
 */
export async function reserveUdpPort(): Promise<number> {
  for (let attempt = 0; attempt < UDP_ATTEMPTS; attempt += 1) {
    const port = UDP_PORTS.first + Math.floor(Math.random() * UDP_PORTS.count);
    const lock = createServer().unref();
    if (!(await tryLock(lock, port))) continue;
    reservations.push(lock);
    if (await isUnusedUdpPort(port)) return port;
  }
  throw new Error(`no free UDP port after ${UDP_ATTEMPTS} attempts`);
}

/** Returns false if another test process has reserved this port. */
async function tryLock(lock: Server, port: number): Promise<boolean> {
  lock.listen(`\0berth-test-udp-port-${port}`);
  return once(lock, "listening").then(
    () => true,
    () => false,
  );
}

/** Returns false if a program outside the tests uses the port. */
async function isUnusedUdpPort(port: number): Promise<boolean> {
  const socket = createSocket("udp6");
  socket.bind(port);
  const isUnused = await once(socket, "listening").then(
    () => true,
    () => false,
  );
  socket.close();
  return isUnused;
}
