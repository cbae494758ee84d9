import { type BigIntStats, readlinkSync, statSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import {
  assertNever,
  type HandOverIngress,
  IngressReply,
  IngressRequest,
  type IngressStatusMessage,
  PROTOCOL_VERSIONS,
  type WaitingClients,
} from "@berth/proto";
import { describeDnsProblem } from "../dns/dns-server.js";
import type { IngressMode } from "../kernel/ingress-mode.js";
import type { ListenerManager } from "../listeners/listener-manager.js";
import { parseDnsConfig } from "../messages/dns-messages.js";
import { parseListeners } from "../messages/listener-messages.js";
import type { DataPath } from "../table/ingress-table.js";
import type { ServiceDiscovery } from "../vips/service-discovery.js";
import { readFrames, writeFrame } from "./protocol.js";

/** Maximum number of connections: the agent and a few tools. */
const MAX_CLIENTS = 16;
/** Interval between two checks that the socket file exists. */
const SOCKET_CHECK_MS = 2_000;
/**
 * Number of failed checks after which the socket counts as lost. A data directory that is moved or restored is missing
 * for a moment.
 */
const MAX_FAILED_CHECKS = 3;

type Reply = NonNullable<IngressReply["reply"]>;
const DONE_REPLY: Reply = { $case: "done", value: {} };
/** ID of a message that answers no request. */
const UNSOLICITED_ID = 0;

export interface ControlServerOptions {
  readonly listeners: ListenerManager;
  readonly discovery: Pick<ServiceDiscovery, "update" | "setSuspectNodes" | "problems" | "vipStats">;
  readonly mode: IngressMode;
  readonly release: string;
  dataPath(): DataPath;
  /** Returns the services whose clients wait for a task. */
  waitingClients(): WaitingClients;
  /** Resolves when a successor can start. */
  onShutDown(): Promise<void>;
  /** Rejects when the successor does not take over; this process then continues. */
  onHandOver(program: HandOverIngress): Promise<void>;
  onStop(): Promise<void>;
}

export interface ControlServer {
  readonly server: Server;
  /** Sends the services whose clients wait for a task to the agents that have requested them. */
  reportWaitingClients(report: WaitingClients): void;
  /** Closes the connections after pending replies are written, so that agents connect to the successor. */
  closeConnections(): void;
}

/** Creates the server of the control socket, on which the ingress process handles the agent's requests. */
export function createControlServer(options: ControlServerOptions): ControlServer {
  const sockets = new Set<Socket>();
  /** The connections that have requested the waiting clients. */
  const watchers = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => {
      sockets.delete(socket);
      watchers.delete(socket);
    });
    serveConnection(socket, options, () => watchers.add(socket));
  });
  server.maxConnections = MAX_CLIENTS;
  const closeConnections = (): void => {
    setImmediate(() => {
      for (const socket of sockets) socket.end();
    });
  };
  const reportWaitingClients = (report: WaitingClients): void => {
    for (const socket of watchers) {
      writeReply(socket, UNSOLICITED_ID, { $case: "waitingClients", value: report });
    }
  };
  return { server, reportWaitingClients, closeConnections };
}

function serveConnection(socket: Socket, options: ControlServerOptions, onWatch: () => void): void {
  const reply = (id: number, message: Reply): void => writeReply(socket, id, message);
  socket.on("error", () => socket.destroy());
  readFrames(
    socket,
    (id, body) => void answerRequest(body, options, onWatch).then((message) => reply(id, message)),
  );
  const { listeners, mode, release } = options;
  reply(UNSOLICITED_ID, {
    $case: "hello",
    value: {
      protocol: PROTOCOL_VERSIONS.oldest,
      newestProtocol: PROTOCOL_VERSIONS.newest,
      processId: process.pid,
      version: listeners.version,
      mode,
      release,
    },
  });
}

function writeReply(socket: Socket, id: number, reply: Reply): void {
  writeFrame(socket, id, IngressReply.encode({ reply }).finish());
}

/** Never rejects: a request that is malformed or fails is answered with an error. */
async function answerRequest(
  body: Buffer,
  options: ControlServerOptions,
  onWatch: () => void,
): Promise<Reply> {
  try {
    return await handleRequest(IngressRequest.decode(body), options, onWatch);
  } catch (error) {
    return { $case: "error", value: { message: error instanceof Error ? error.message : String(error) } };
  }
}

async function handleRequest(
  { request }: IngressRequest,
  options: ControlServerOptions,
  onWatch: () => void,
): Promise<Reply> {
  if (request === undefined) throw new Error("malformed or unknown request");
  const { listeners, discovery } = options;
  switch (request.$case) {
    case "applyListeners": {
      const { version } = request.value;
      const parsed = parseListeners(request.value.listeners);
      const table = { version, listeners: parsed.listeners };
      return { $case: "applied", value: await listeners.apply(table, parsed.invalid) };
    }
    case "changeListeners": {
      const { base, version, set, removedKeys: removed } = request.value;
      const parsed = parseListeners(set);
      const change = { base, version, set: parsed.listeners, removed };
      return { $case: "applied", value: await listeners.applyChange(change, parsed.invalid) };
    }
    case "suspectNodes": {
      const { nodeIds } = request.value;
      await Promise.all([listeners.setSuspectNodes(nodeIds), discovery.setSuspectNodes(nodeIds)]);
      return DONE_REPLY;
    }
    case "applyDns":
      await discovery.update(parseDnsConfig(request.value));
      return DONE_REPLY;
    case "getStats": {
      const [stats, vips] = await Promise.all([listeners.stats(), discovery.vipStats()]);
      return { $case: "stats", value: { ...stats, vips: [...vips], status: readStatus(options) } };
    }
    case "getStatus":
      return { $case: "status", value: readStatus(options) };
    case "watchWaitingClients":
      onWatch();
      return { $case: "waitingClients", value: options.waitingClients() };
    case "shutDown":
      await options.onShutDown();
      return DONE_REPLY;
    case "handOver":
      await options.onHandOver(request.value);
      return DONE_REPLY;
    case "stop":
      await options.onStop();
      return DONE_REPLY;
    default:
      return assertNever(request);
  }
}

function readStatus({ listeners, discovery, dataPath }: ControlServerOptions): IngressStatusMessage {
  // The agent reports a missing bridge as a problem of the network itself.
  const problems = discovery.problems.filter(({ code }) => code !== "EADDRNOTAVAIL");
  return {
    errors: [...listeners.errors],
    dnsProblems: problems.map(describeDnsProblem),
    fdProblem: listeners.fdProblem,
    path: dataPath(),
  };
}

/**
 * Calls `onLost` once when the control socket's file stays missing or was replaced: no agent can connect any more. The
 * file must exist when the watch starts.
 */
export function watchSocketFile(path: string, onLost: () => void): void {
  const identity = readFileIdentity(path);
  let failedChecks = 0;
  const timer = setInterval(() => {
    failedChecks = readFileIdentity(path) === identity ? 0 : failedChecks + 1;
    if (failedChecks < MAX_FAILED_CHECKS) return;
    clearInterval(timer);
    onLost();
  }, SOCKET_CHECK_MS);
}

/**
 * Returns a file's inode and birth time, since inodes are reused, and the working directory's path, which changes when the
 * directory is moved. Returns "" when the file does not exist.
 */
function readFileIdentity(path: string): string {
  try {
    const { dev, ino, birthtimeNs }: BigIntStats = statSync(path, { bigint: true });
    return `${dev}/${ino}/${birthtimeNs} ${readlinkSync("/proc/self/cwd")}`;
  } catch {
    return "";
  }
}
