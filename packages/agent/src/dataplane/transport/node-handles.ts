import { createSocket, type Socket } from "node:dgram";
import type { Server } from "node:net";

/**
 * The handles inside Node's sockets. It passes them between processes, but what is passed as a whole socket is read
 * from as soon as it has arrived, whoever is ready for it or not. This is the only place that knows where the handles
 * of its sockets are; where another Node keeps them elsewhere, there are none to pass.
 */
interface DatagramHandle {
  recvStart(): number;
  recvStop(): number;
  getsockname(out: { address?: string }): number;
  close(): void;
}

interface DatagramState {
  readonly handle: DatagramHandle;
  connectState: number;
}

const METHODS = ["recvStart", "recvStop", "getsockname", "close"];
const NOT_CONNECTED = 0;
const CONNECTED = 2;

/** To be given to another process; undefined: it cannot be. */
export function datagramHandle(socket: Socket): unknown {
  return stateOf(socket)?.handle;
}

/** What arrives waits in the kernel, as much as fits there. False: it could not be stopped. */
export function pauseDatagrams(socket: Socket): boolean {
  return stateOf(socket)?.handle.recvStop() === 0;
}

export function resumeDatagrams(socket: Socket): void {
  stateOf(socket)?.handle.recvStart();
}

/**
 * A socket on a handle that came from another process; it is read from as soon as this turn of the loop is over.
 * Undefined: it is not such a handle, and has been closed.
 */
export function adoptDatagrams(
  handle: unknown,
  { isConnected }: { readonly isConnected: boolean },
): Socket | undefined {
  if (!isDatagramHandle(handle)) return undefined;
  const name: { address?: string } = {};
  if (handle.getsockname(name) !== 0) return discard(handle);
  const socket = createSocket(name.address?.includes(":") ? "udp6" : "udp4");
  const before = stateOf(socket);
  if (before?.connectState !== NOT_CONNECTED) {
    socket.close();
    return discard(handle);
  }
  Reflect.apply(socket.bind, socket, [handle]);
  if (isConnected) before.connectState = CONNECTED;
  try {
    // Throws where what we set is not what makes a socket connected.
    if (isConnected) socket.remoteAddress();
    return socket;
  } catch {
    socket.close();
    return undefined;
  }
}

/** Closes a handle that nobody uses. */
export function discard(handle: unknown): undefined {
  if (isDatagramHandle(handle)) handle.close();
}

/** Of a server that listens, to be given to another process. */
export function listeningHandle(server: Server): unknown {
  return Reflect.get(server, "_handle") ?? undefined;
}

function stateOf(socket: Socket): DatagramState | undefined {
  for (const symbol of Object.getOwnPropertySymbols(socket)) {
    const state: unknown = Reflect.get(socket, symbol);
    if (isDatagramState(state)) return state;
  }
  return undefined;
}

function isDatagramState(value: unknown): value is DatagramState {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof Reflect.get(value, "connectState") === "number" &&
    isDatagramHandle(Reflect.get(value, "handle"))
  );
}

function isDatagramHandle(value: unknown): value is DatagramHandle {
  return (
    typeof value === "object" &&
    value !== null &&
    METHODS.every((method) => typeof Reflect.get(value, method) === "function")
  );
}
