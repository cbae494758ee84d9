import { createServer, type Server, type Socket } from "node:net";
import { describeDnsProblem } from "../dns/trouble.js";
import type { IngressMode } from "../kernel/ingress-mode.js";
import type { Gateway } from "../listeners/gateway.js";
import type { IngressProgram } from "../spawn.js";
import type { DataPath, IngressStatus } from "../table/ingress-table.js";
import type { ServiceDiscovery } from "../vips/service-discovery.js";
import { readJsonLines, writeJsonLine } from "./json-lines.js";
import { type IngressReply, type IngressRequest, MAX_LINE_BYTES, PROTOCOL_VERSION } from "./wire.js";
import { parseRequest } from "./wire-codec.js";

/** Agents, and people who look. More than this many at once is a mistake somewhere. */
const MAX_CLIENTS = 16;

export interface ControlServerOptions {
  readonly gateway: Gateway;
  readonly names: Pick<ServiceDiscovery, "update" | "suspect" | "problems" | "vipStats">;
  readonly mode: IngressMode;
  /** Which way new connections take. */
  path(): DataPath;
  readonly release: string;
  onRetire(): Promise<void>;
  /** Rejects when the successor does not take over: nothing has changed then. */
  onHandOver(program: IngressProgram): Promise<void>;
  onStop(): Promise<void>;
}

export interface ControlServer {
  readonly server: Server;
  /** Ends the connections, once what is being answered has been: whoever watches this process turns to its successor. */
  dismissClients(): void;
}

/** Where the agent gives its orders. It may come and go: nothing here outlives a connection. */
export function createControlServer(options: ControlServerOptions): ControlServer {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    serve(socket, options);
  });
  server.maxConnections = MAX_CLIENTS;
  const dismissClients = (): void => {
    setImmediate(() => {
      for (const each of sockets) each.end();
    });
  };
  return { server, dismissClients };
}

function serve(socket: Socket, options: ControlServerOptions): void {
  const reply = (message: IngressReply): void => writeJsonLine(socket, message);
  socket.on("error", () => socket.destroy());
  readJsonLines(socket, {
    maxLineBytes: MAX_LINE_BYTES,
    onMessage: (message) => {
      const request = parseRequest(message);
      if (typeof request === "string") {
        // An answer needs an id; whoever sent none is not one of ours.
        socket.destroy();
        return;
      }
      void answer(request, options).then(reply);
    },
  });
  reply({
    kind: "hello",
    protocol: PROTOCOL_VERSION,
    processId: process.pid,
    version: options.gateway.version,
    mode: options.mode,
    release: options.release,
  });
}

async function answer(request: IngressRequest, options: ControlServerOptions): Promise<IngressReply> {
  const { id } = request;
  try {
    switch (request.kind) {
      case "apply":
        return { kind: "applied", id, result: await options.gateway.apply(request.table, request.invalid) };
      case "change":
        return { kind: "applied", id, result: await options.gateway.change(request, request.invalid) };
      case "suspect":
        await Promise.all([options.gateway.suspect(request.nodes), options.names.suspect(request.nodes)]);
        return { kind: "done", id };
      case "names":
        await options.names.update(request.names);
        return { kind: "done", id };
      case "stats": {
        const [ports, vips] = await Promise.all([options.gateway.stats(), options.names.vipStats()]);
        return { kind: "stats", id, stats: { ...ports, vips, ...conditionOf(options) } };
      }
      case "condition":
        return { kind: "condition", id, condition: conditionOf(options) };
      case "retire":
        await options.onRetire();
        return { kind: "done", id };
      case "hand-over":
        await options.onHandOver(request.program);
        return { kind: "done", id };
      case "stop":
        await options.onStop();
        return { kind: "done", id };
    }
  } catch (error) {
    return { kind: "refused", id, message: error instanceof Error ? error.message : String(error) };
  }
}

function conditionOf({ gateway, names, path }: ControlServerOptions): IngressStatus {
  // A bridge that is not there is its network's trouble, and told with that.
  const problems = names.problems.filter(({ code }) => code !== "EADDRNOTAVAIL");
  const nameProblems = problems.map(describeDnsProblem);
  return { errors: gateway.errors, dnsProblems: nameProblems, fdProblem: gateway.shortage, path: path() };
}
