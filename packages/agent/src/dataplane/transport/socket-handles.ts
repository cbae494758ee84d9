import { createSocket, type Socket } from "node:dgram";
import type { Server } from "node:net";

// Access to the libuv handles inside Node's sockets, which a handover sends to the successor. A whole `dgram.Socket` that
// is sent starts to read on arrival, before the receiver is ready; a handle does not. Only this file knows where Node
// keeps the handles. On a Node version with another layout, there is no handle to send.

/** The libuv handle of a datagram socket. */
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

interface ClosableHandle {
  close(): void;
}

const DATAGRAM_METHODS = ["recvStart", "recvStop", "getsockname", "close"];
const TCP_METHODS = ["listen", "readStart", "getsockname", "close"];
/** Value of `connectState` in Node's lib/dgram.js for a socket that is not connected. */
const NOT_CONNECTED = 0;
/** Value of `connectState` in Node's lib/dgram.js for a connected socket. */
const CONNECTED_STATE = 2;

/** Returns the handle of a datagram socket, to be sent to another process, or undefined if it cannot be sent. */
export function datagramHandle(socket: Socket): unknown {
  return findDatagramState(socket)?.handle;
}

/** Returns the handle of a listening server, to be sent to another process, or undefined if it cannot be sent. */
export function listeningHandle(server: Server): unknown {
  return Reflect.get(server, "_handle") ?? undefined;
}

/** Stops reading: datagrams wait in the kernel's receive buffer. Returns false on failure. */
export function pauseReceiving(socket: Socket): boolean {
  return findDatagramState(socket)?.handle.recvStop() === 0;
}

/** Reads again after {@link pauseReceiving}. */
export function resumeReceiving(socket: Socket): void {
  findDatagramState(socket)?.handle.recvStart();
}

/**
 * Makes a socket from the handle of another process. The socket starts to read after the current turn of the event
 * loop. Closes the handle and returns undefined if it is not a datagram handle.
 */
export function adoptDatagramSocket(
  handle: unknown,
  { isConnected }: { readonly isConnected: boolean },
): Socket | undefined {
  const socket = isDatagramHandle(handle) ? createSocketFor(handle) : undefined;
  const state = socket && findDatagramState(socket);
  if (socket === undefined || state?.connectState !== NOT_CONNECTED) {
    socket?.close();
    closeHandle(handle);
    return undefined;
  }
  Reflect.apply(socket.bind, socket, [handle]);
  if (isConnected) state.connectState = CONNECTED_STATE;
  try {
    // Throws when this Node version does not recognize a connected socket by `connectState`.
    if (isConnected) socket.remoteAddress();
    return socket;
  } catch {
    socket.close();
    return undefined;
  }
}

/** Creates an unbound socket of the handle's address family. Returns undefined if the handle has no address. */
function createSocketFor(handle: DatagramHandle): Socket | undefined {
  const name: { address?: string } = {};
  if (handle.getsockname(name) !== 0) return undefined;
  return createSocket(name.address?.includes(":") ? "udp6" : "udp4");
}

/** Closes a received handle that is not adopted. Ignores values that are not handles. */
export function closeHandle(handle: unknown): void {
  if (isClosable(handle)) handle.close();
}

/** Returns whether the value is a TCP handle of libuv, as `server.listen` accepts it. */
export function isTcpHandle(value: unknown): value is ClosableHandle {
  return hasMethods(value, TCP_METHODS);
}

function isDatagramHandle(value: unknown): value is DatagramHandle {
  return hasMethods(value, DATAGRAM_METHODS);
}

function isClosable(value: unknown): value is ClosableHandle {
  return hasMethods(value, ["close"]);
}

function hasMethods(value: unknown, methods: readonly string[]): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    methods.every((method) => typeof Reflect.get(value, method) === "function")
  );
}

function findDatagramState(socket: Socket): DatagramState | undefined {
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
