import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { BerthError } from "@berth/proto";
import type { Ports } from "./data-dir.js";

/**
 * First port of the range. It is below Linux's ephemeral ports (from 32768), so a restarted etcd finds its ports still
 * free.
 */
const FIRST_PORT = 20_000;

/** Number of ports in the range. */
const PORT_COUNT = 12_000;

/** Maximum number of attempts. When all of them fail, nearly all ports must be in use. */
const MAX_ATTEMPTS = 50;

/**
 * Returns the preferred ports if both are free on the host, or else two free ports.
 *
 * @throws BerthError BERTH_ADDRESS_IN_USE
 */
export async function choosePorts(host: string, preferred: Ports | undefined): Promise<Ports> {
  if (preferred !== undefined && (await areFree(host, preferred))) return preferred;
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const client = FIRST_PORT + Math.floor(Math.random() * PORT_COUNT);
    const ports = { client, peer: client + 1 };
    if (await areFree(host, ports)) return ports;
  }
  throw portsInUseError(host, `found no two free ports in ${MAX_ATTEMPTS} attempts`);
}

/**
 * Returns the ports if both are free. Otherwise, this server could mistake another etcd on these ports for its own.
 *
 * @throws BerthError BERTH_ADDRESS_IN_USE
 */
export async function requireFree(host: string, ports: Ports): Promise<Ports> {
  const free = await holdPorts(host, ports);
  await free();
  return ports;
}

function portsInUseError(host: string, reason: string): BerthError {
  const message = `embedded etcd cannot listen on ${host}: ${reason}`;
  return new BerthError({ code: "BERTH_ADDRESS_IN_USE", message, details: { host } });
}

/**
 * Holds both ports, so that no other process can listen on them, and closes every connection. Returns a function that
 * frees the ports.
 *
 * @throws BerthError BERTH_ADDRESS_IN_USE
 */
export async function holdPorts(host: string, ports: Ports): Promise<() => Promise<void>> {
  const attempts = await Promise.allSettled([listen(host, ports.client), listen(host, ports.peer)]);
  const servers = attempts.flatMap((attempt) => (attempt.status === "fulfilled" ? [attempt.value] : []));
  const free = async (): Promise<void> => void (await Promise.all(servers.map(close)));
  if (servers.length === attempts.length) return free;
  await free();
  throw portsInUseError(
    host,
    `port ${ports.client} or ${ports.peer} is in use; stop the process that listens on it`,
  );
}

async function areFree(host: string, ports: Ports): Promise<boolean> {
  const free = await holdPorts(host, ports).catch(() => undefined);
  await free?.();
  return free !== undefined;
}

async function listen(host: string, port: number): Promise<Server> {
  const server = createServer((socket) => socket.destroy()).listen(port, host);
  await once(server, "listening");
  return server;
}

async function close(server: Server): Promise<void> {
  server.close();
  await once(server, "close");
}
