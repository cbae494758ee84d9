import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { ConnectPort } from "@berth/proto";
import type { ObservedContainer } from "../core/docker/observed-container.js";
import type { EngineStream, OutputChunk } from "../engine/engine.js";
import { writeChunk } from "../runtime/write-chunk.js";
import { exitOf, NO_DETAILS, type OpenedStream } from "./opened-stream.js";
import { requireRunning, type StreamContext } from "./stream-context.js";

/** Timeout of a connection. This host's kernel responds within milliseconds. */
const CONNECT_TIMEOUT_MS = 5_000;
const MAX_PORT = 65_535;

/** Connects to a TCP port of a task's container. Never connects to the host or to another container. */
export async function connectPort(
  taskId: string,
  { port }: ConnectPort,
  context: StreamContext,
): Promise<OpenedStream> {
  if (port < 1 || port > MAX_PORT) throw new Error(`${port} is not a port; use 1 to ${MAX_PORT}`);
  const container = await requireRunning(taskId, context);
  const host = containerAddress(taskId, container);
  const socket = await dial({ host, port }, taskId, context.signal);
  const closed = once(socket, "close").then(() => 0);
  // The caller of `exitCode` gets the error.
  closed.catch(() => {});
  const stream: EngineStream = {
    output: receive(socket),
    write: (bytes) => writeChunk(socket, bytes),
    endInput: () => void socket.end(),
    resize: async () => {},
    kill: async () => {},
    exitCode: () => closed,
  };
  return {
    stream,
    output: stream.output,
    started: NO_DETAILS,
    endsWithCaller: false,
    isHalfOpen: true,
    exited: () => exitOf(stream),
  };
}

/**
 * Returns the address of a container in one of its networks.
 *
 * @throws Error if it has no address
 */
function containerAddress(taskId: string, { networks }: ObservedContainer): string {
  const address = networks.find((network) => network.address !== "")?.address;
  if (address !== undefined) return address;
  const network = networks[0]?.name ?? "none";
  throw new Error(
    `task ${taskId} has no address, because it uses the network ${JSON.stringify(network)}; connect to its host instead`,
  );
}

async function dial(
  { host, port }: { readonly host: string; readonly port: number },
  taskId: string,
  signal: AbortSignal,
): Promise<Socket> {
  const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
  // The reader of the socket gets its errors too.
  socket.on("error", () => {});
  const onAbort = (): void => void socket.destroy();
  signal.addEventListener("abort", onAbort, { once: true });
  socket.once("close", () => signal.removeEventListener("abort", onAbort));
  const timeout = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
  try {
    await once(socket, "connect", { signal: AbortSignal.any([signal, timeout]) });
    return socket;
  } catch (cause) {
    socket.destroy();
    signal.throwIfAborted();
    const reason = timeout.aborted ? `no response within ${CONNECT_TIMEOUT_MS / 1_000} s` : errorText(cause);
    throw new Error(`cannot connect to port ${port} of task ${taskId}: ${reason}`, { cause });
  }
}

async function* receive(socket: Socket): AsyncGenerator<OutputChunk> {
  // `destroyOnReturn` would also close the direction to the container.
  for await (const bytes of socket.iterator({ destroyOnReturn: false })) yield { stream: "stdout", bytes };
}

function errorText(error: unknown): string {
  if (error instanceof Error && "code" in error && error.code === "ECONNREFUSED") return "connection refused";
  return error instanceof Error ? error.message : String(error);
}
