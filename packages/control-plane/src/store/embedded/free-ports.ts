import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { BerthError } from "@berth/proto";
import type { Ports } from "./data-dir.js";

/** Below the ports that Linux gives to outgoing connections (from 32768), so that a restarted etcd finds its own still free. */
const FIRST_PORT = 20_000;
const PORT_COUNT = 12_000;

/** With most ports taken something else is wrong. */
const MAX_ATTEMPTS = 50;

/**
 * The preferred ports if both are free on the host, else two that are.
 * @throws BerthError BERTH_ADDRESS_IN_USE
 */
export async function choosePorts(host: string, preferred: Ports | undefined): Promise<Ports> {
  if (preferred !== undefined && (await areFree(host, preferred))) return preferred;
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const client = FIRST_PORT + Math.floor(Math.random() * PORT_COUNT);
    const ports = { client, peer: client + 1 };
    if (await areFree(host, ports)) return ports;
  }
  throw inUse(host, `no two free ports were found in ${MAX_ATTEMPTS} attempts`);
}

/**
 * Makes sure that nobody else answers on these ports: another etcd there would pass for ours.
 * @throws BerthError BERTH_ADDRESS_IN_USE
 */
export async function requireFree(host: string, ports: Ports): Promise<Ports> {
  if (await areFree(host, ports)) return ports;
  throw inUse(host, `port ${ports.client} or ${ports.peer} is in use`);
}

function inUse(host: string, why: string): BerthError {
  const message = `The embedded etcd cannot listen on ${host}: ${why}. Free them or choose others.`;
  return new BerthError({ code: "BERTH_ADDRESS_IN_USE", message, details: { host } });
}

async function areFree(host: string, { client, peer }: Ports): Promise<boolean> {
  const attempts = await Promise.allSettled([listen(host, client), listen(host, peer)]);
  const servers = attempts.flatMap((attempt) => (attempt.status === "fulfilled" ? [attempt.value] : []));
  await Promise.all(servers.map(close));
  return servers.length === attempts.length;
}

async function listen(host: string, port: number): Promise<Server> {
  const server = createServer().listen(port, host);
  await once(server, "listening");
  return server;
}

async function close(server: Server): Promise<void> {
  server.close();
  await once(server, "close");
}
