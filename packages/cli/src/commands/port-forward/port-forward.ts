import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { type ExecStart, listenError } from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { printWarning } from "../../output/print.js";
import { type Cli, ExitStatus, type GlobalOptions } from "../../process/cli.js";
import { createRequests } from "../streams/request-stream.js";
import { type ForwardedPort, parseForwardedPort } from "./parse-forwarded-port.js";

/** Maximum number of concurrent connections: a node accepts this many streams of one client. */
const MAX_CONNECTIONS = 64;

export interface PortForwardOptions extends GlobalOptions {
  readonly address: string;
}

/**
 * `berth port-forward TASK|SERVICE [LOCAL:]REMOTE…`: forwards local ports to a container until the command is
 * interrupted.
 */
export async function forwardPorts(
  cli: Cli,
  options: PortForwardOptions,
  target: string,
  texts: readonly string[],
): Promise<void> {
  const ports = texts.map(parseForwardedPort);
  await withClient(cli, options, async (client) => {
    const servers: Server[] = [];
    try {
      for (const port of ports) {
        const server = await listen(options.address, port);
        servers.push(server);
        const { address, port: local } = server.address() as AddressInfo;
        const host = address.includes(":") ? `[${address}]` : address;
        cli.stdout.write(`Forwarding from ${host}:${local} -> ${port.remote}\n`);
        server.on("connection", (socket: Socket) => {
          const start = connectRequest(target, port.remote);
          forward(client, { socket, start, signal: cli.signal }).catch((error: unknown) => {
            socket.destroy();
            const reason = error instanceof Error ? error.message : String(error);
            if (!cli.signal.aborted) printWarning(cli, `connection to port ${port.remote} failed: ${reason}`);
          });
        });
      }
      await waitForInterrupt(cli);
    } finally {
      for (const server of servers) server.close();
    }
  });
}

/**
 * Waits for Ctrl-C or SIGTERM, the regular end of the command.
 *
 * @throws ExitStatus 0
 */
async function waitForInterrupt({ signal, streams }: Cli): Promise<void> {
  await new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
    streams.onSignal(() => resolve(), ["SIGTERM"]);
    if (signal.aborted) resolve();
  });
  // Open connections end with the process.
  throw new ExitStatus(0);
}

async function listen(host: string, { local }: ForwardedPort): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  server.maxConnections = MAX_CONNECTIONS;
  server.listen({ host, port: local });
  try {
    await once(server, "listening");
    return server;
  } catch (cause) {
    throw listenError({
      address: `${host}:${local}`,
      advice: "choose another local port, as in 8081:80",
      cause,
    });
  }
}

/** Returns the first message of a stream that connects to a port of a container. */
function connectRequest(target: string, port: number): ExecStart {
  const otherKinds = {
    command: undefined,
    attach: undefined,
    readArchive: undefined,
    writeArchive: undefined,
  };
  return { target, ...otherKinds, connectPort: { port } };
}

interface ForwardedConnection {
  readonly socket: Socket;
  readonly start: ExecStart;
  readonly signal: AbortSignal;
}

/** Forwards one connection. Each direction ends separately and is read only as fast as the other side accepts data. */
async function forward(client: ControlClient, { socket, start, signal }: ForwardedConnection): Promise<void> {
  const closed = new AbortController();
  socket.once("close", () => closed.abort(new Error("the local connection was closed")));
  // The "close" event follows an error.
  socket.on("error", () => {});
  const ended = AbortSignal.any([signal, closed.signal]);
  const input = socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
  const requests = createRequests({ start, input: withoutErrors(input), signal: ended });
  try {
    for await (const { output } of client.exec(requests.messages(), { signal: ended })) {
      const message = output?.message;
      if (message?.$case === "stdout") await write(socket, message.value);
      if (message?.$case === "outputEnd") socket.end();
    }
    socket.end();
  } catch (error) {
    if (!closed.signal.aborted) throw error;
  }
}

/** Yields the input, and ends without an error when the connection is reset. */
async function* withoutErrors(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* input;
  } catch {
    // The "close" listener ends the stream.
  }
}

async function write(socket: Socket, bytes: Uint8Array): Promise<void> {
  if (socket.destroyed || socket.writableEnded || socket.write(bytes)) return;
  await Promise.race([once(socket, "drain"), once(socket, "close")]);
}
