import { rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { INGRESS_PATH } from "../../deploy/lab/berth-commands.js";
import type { DnsTable } from "../../packages/agent/src/dataplane/dns/dns-table.js";
import { formatDnsConfig } from "../../packages/agent/src/dataplane/messages/dns-messages.js";
import { formatListener } from "../../packages/agent/src/dataplane/messages/listener-messages.js";
import type {
  ApplyResult,
  IngressEndpoint,
  IngressListener,
  IngressTable,
} from "../../packages/agent/src/dataplane/table/ingress-table.js";
import {
  type IngressClient,
  type IngressClientOptions,
  openIngress,
} from "../../packages/agent/src/dataplane-client/ingress-client.js";
import type { ListenerTable } from "../../packages/agent/src/dataplane-client/ingress-table.js";
import { eventually } from "../harness/eventually.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";

const CALL_DEADLINE_MS = 15_000;

/** Transport of all ingress processes whose test does not choose one. `npm run test:node` sets it for a second run. */
const TRANSPORT = process.env.BERTH_INGRESS_TRANSPORT;
const TRANSPORT_ARGS = TRANSPORT === undefined ? [] : ["--transport", TRANSPORT];

/** Returns a deadline for one call to the ingress process. */
export function deadline(): AbortSignal {
  return AbortSignal.timeout(CALL_DEADLINE_MS);
}

/** Runs the clean-up steps of a test in reverse order. */
export class Cleanup {
  readonly #steps: (() => unknown)[] = [];

  add(step: () => unknown): void {
    this.#steps.push(step);
  }

  async run(): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) await step();
  }
}

export function directoryFor(cleanup: Cleanup): string {
  const directory = temporaryDirectory();
  cleanup.add(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** The agent's client, with tables as the ingress process has them instead of the leader's messages. */
export interface TestIngress extends Omit<IngressClient, "apply" | "updateDns" | "setFallback"> {
  apply(table: IngressTable, signal: AbortSignal): Promise<ApplyResult>;
  updateDns(table: DnsTable, signal: AbortSignal): Promise<void>;
  setFallback(fallback: () => { readonly table: IngressTable; readonly dns: DnsTable }): void;
}

export function publish({ version, listeners }: IngressTable): ListenerTable {
  return { version, listeners: listeners.map(formatListener) };
}

/** Opens the agent's client without logs. */
export async function openTestIngress(
  options: Omit<IngressClientOptions, "logger" | "signal">,
): Promise<TestIngress> {
  const ingress = await openIngress({
    logger: pino({ level: "silent" }),
    signal: new AbortController().signal,
    ...options,
    // The last of two --transport options wins.
    args: [...TRANSPORT_ARGS, ...(options.args ?? [])],
  });
  return {
    isServing: ingress.isServing,
    setFallback: (fallback) =>
      ingress.setFallback(() => {
        const { table, dns } = fallback();
        return { table: publish(table), dns: formatDnsConfig(dns) };
      }),
    watchWaitingClients: (onReport) => ingress.watchWaitingClients(onReport),
    apply: (table, signal) => ingress.apply(publish(table), signal),
    setSuspectNodes: (nodes, signal) => ingress.setSuspectNodes(nodes, signal),
    updateDns: (table, signal) => ingress.updateDns(formatDnsConfig(table), signal),
    stats: (signal) => ingress.stats(signal),
    status: (signal) => ingress.status(signal),
    stop: (signal) => ingress.stop(signal),
    close: () => ingress.close(),
  };
}

/** Starts a real ingress process and a client. The cleanup ends both. */
export async function startIngress(
  cleanup: Cleanup,
  args: readonly string[] = [],
): Promise<TestIngress & { readonly dataDir: string }> {
  const dataDir = directoryFor(cleanup);
  const ingress = await openTestIngress({ dataDir, entryPath: INGRESS_PATH, args });
  cleanup.add(() => ingress.stop(deadline()).catch(() => {}));
  return { ...ingress, dataDir };
}

/** Starts a TCP backend on its own port that calls `serve` for every connection. */
export async function startBackend(
  cleanup: Cleanup,
  id: string,
  serve: (socket: Socket) => void,
): Promise<IngressEndpoint> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    serve(socket);
  });
  await listening(server);
  cleanup.add(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { id, address: "127.0.0.1", port: portOf(server) };
}

export function tcpListener(
  port: number,
  endpoints: readonly IngressEndpoint[],
  draining: readonly IngressEndpoint[] = [],
): IngressListener {
  return { protocol: "tcp", address: "", port, service: "web", endpoints, draining };
}

/** Connects to a published port and keeps what it reads. */
export function openClient(
  cleanup: Cleanup,
  port: number,
): { readonly socket: Socket; read(): string; readonly closed: Promise<string> } {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  cleanup.add(() => socket.destroy());
  let text = "";
  let outcome = "closed";
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  socket.on("error", (error) => {
    outcome = "code" in error ? String(error.code) : error.message;
  });
  const closed = new Promise<string>((resolve) => socket.once("close", () => resolve(outcome)));
  return { socket, read: () => text, closed };
}

/** Sends a request and FIN. Returns the whole answer, or the error code. */
export async function ask(port: number, request = ""): Promise<string> {
  const cleanup = new Cleanup();
  const { socket, read, closed } = openClient(cleanup, port);
  socket.on("end", () => socket.destroy());
  socket.end(request);
  const outcome = await closed;
  await cleanup.run();
  return outcome === "closed" ? read() : outcome;
}

/** Sends requests without a pause, four at a time, until stopped. `stop` waits until there are `count` answers. */
export function startRequests(port: number): { stop(count: number): Promise<readonly string[]> } {
  const answers: string[] = [];
  let isOver = false;
  const one = async (): Promise<void> => {
    while (!isOver) {
      answers.push(await ask(port, "x"));
      await sleep(1);
    }
  };
  const all = Promise.all([one(), one(), one(), one()]);
  return {
    stop: async (count) => {
      await Promise.race([all, eventually(`${count} answers`, () => answers.length >= count)]);
      isOver = true;
      await all;
      return answers;
    },
  };
}

async function listening(server: Server): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no TCP server");
  return address.port;
}
