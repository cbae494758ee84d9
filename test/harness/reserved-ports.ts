import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { loadTcpBinding, type TcpHandle } from "../../packages/agent/src/runtime/tcp-binding.js";

/** Linux gives ports from 32768 on to sockets that ask for any free port. */
const UDP_PORTS = { first: 10_000, count: 20_000 };
const UDP_ATTEMPTS = 100;

/** Sockets that keep the reservations until the process exits. */
const reservations: (TcpHandle | Server)[] = [];

/**
 * Returns a TCP port that no other program gets until this process exits.
 *
 * A socket is bound to the port but does not listen. Linux then gives the port to no socket that asks for any free port,
 * but lets one listener bind it as well, because both set SO_REUSEADDR. Until then, connections are refused.
 */
export function reserveTcpPort(): number {
  const binding = loadTcpBinding();
  if (binding === undefined) throw new Error("this Node has no TCP binding");
  const handle = new binding.TCP(binding.SERVER);
  const name: { port?: number } = {};
  if (handle.bind6("::", 0, 0) !== 0 || handle.getsockname(name) !== 0) throw new Error("cannot bind a port");
  if (name.port === undefined) throw new Error("the socket has no port");
  reservations.push(handle);
  return name.port;
}

/**
 * Returns a UDP port that no other test gets until this process exits.
 *
 * Without SO_REUSEADDR, a UDP port cannot be bound twice. The port is therefore outside the range from which Linux
 * picks ports, and an abstract Unix socket named after it locks it against other test processes.
 */
export async function reserveUdpPort(): Promise<number> {
  for (let attempt = 0; attempt < UDP_ATTEMPTS; attempt += 1) {
    const port = UDP_PORTS.first + Math.floor(Math.random() * UDP_PORTS.count);
    const lock = createServer().unref();
    if (!(await listens(lock, port))) continue;
    reservations.push(lock);
    if (await isUnusedUdpPort(port)) return port;
  }
  throw new Error(`no free UDP port after ${UDP_ATTEMPTS} attempts`);
}

/** Returns false when another test process holds the lock of this port. */
async function listens(lock: Server, port: number): Promise<boolean> {
  lock.listen(`\0berth-test-udp-port-${port}`);
  return once(lock, "listening").then(
    () => true,
    () => false,
  );
}

/** Returns false when a program outside the tests uses the port. */
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
