import { rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { pino } from "pino";
import type {
  IngressEndpoint,
  IngressListener,
} from "../../packages/agent/src/dataplane/table/ingress-table.js";
import { type Ingress, openIngress } from "../../packages/agent/src/dataplane-client/client.js";
import { temporaryFolder } from "../harness/temporary-folder.js";

export const ENTRY = fileURLToPath(new URL("../../packages/agent/dist/dataplane/entry.js", import.meta.url));
const CALL_DEADLINE_MS = 15_000;

/** A deadline for one call to the ingress. */
export function deadline(): AbortSignal {
  return AbortSignal.timeout(CALL_DEADLINE_MS);
}

/** Undoes what a test did, last first, whatever came of the test. */
export class Cleanup {
  readonly #steps: (() => unknown)[] = [];

  add(step: () => unknown): void {
    this.#steps.push(step);
  }

  async run(): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) await step();
  }
}

export function folderFor(cleanup: Cleanup): string {
  const folder = temporaryFolder();
  cleanup.add(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A real ingress process with a client, both ended by the cleanup. */
export async function startIngress(
  cleanup: Cleanup,
  args: readonly string[] = [],
): Promise<Ingress & { readonly dataDir: string }> {
  const dataDir = folderFor(cleanup);
  const ingress = await openIngress({
    dataDir,
    logger: pino({ level: "silent" }),
    signal: new AbortController().signal,
    entryPath: ENTRY,
    args,
  });
  cleanup.add(() => ingress.stop(deadline()).catch(() => {}));
  return {
    dataDir,
    isServing: ingress.isServing,
    setFallback: (lastKnown) => ingress.setFallback(lastKnown),
    apply: (table, signal) => ingress.apply(table, signal),
    suspect: (nodes, signal) => ingress.suspect(nodes, signal),
    updateDns: (names, signal) => ingress.updateDns(names, signal),
    stats: (signal) => ingress.stats(signal),
    status: (signal) => ingress.status(signal),
    stop: (signal) => ingress.stop(signal),
    close: () => ingress.close(),
  };
}

/** A port nobody listens on at this moment. */
export async function unusedPort(): Promise<number> {
  const server = createServer();
  await listening(server);
  const port = portOf(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A TCP backend on a port of its own that does `serve` with every connection. */
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

/** A client of a published port that keeps what it reads. */
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

/** Sends a request, ends, and gives back the whole answer; or the error's code. */
export async function ask(port: number, request = ""): Promise<string> {
  const cleanup = new Cleanup();
  const { socket, read, closed } = openClient(cleanup, port);
  socket.on("end", () => socket.destroy());
  socket.end(request);
  const outcome = await closed;
  await cleanup.run();
  return outcome === "closed" ? read() : outcome;
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
