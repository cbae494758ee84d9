/**
 * The methods of Node's internal TCP handles that berth uses. `process.binding` is not documented: Node 20 to 24 offer
 * it and mark it as deprecated. Only this file knows its shape. Callers use `node:net` when {@link loadTcpBinding}
 * returns undefined; the ingress process also tests the binding over loopback before it relies on it.
 */
export interface TcpHandle {
  onread: (() => void) | undefined;
  onconnection: ((status: number, handle: TcpHandle | undefined) => void) | undefined;
  bind(address: string, port: number): number;
  bind6(address: string, port: number, flags: number): number;
  listen(backlog: number): number;
  connect(request: LibuvRequest, address: string, port: number): number;
  connect6(request: LibuvRequest, address: string, port: number): number;
  setNoDelay(on: boolean): number;
  setKeepAlive(on: boolean, idleSeconds: number): number;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeBuffer(request: LibuvWriteRequest, chunk: Uint8Array): number;
  shutdown(request: LibuvRequest): number;
  close(): void;
  reset(): number;
  getpeername(out: SocketName): number;
  getsockname(out: SocketName): number;
}

/** Filled in by `getpeername` and `getsockname`. */
export interface SocketName {
  address?: string;
  port?: number;
}

export interface LibuvRequest {
  oncomplete: (status: number) => void;
}

export interface LibuvWriteRequest extends LibuvRequest {
  /** Keeps the bytes alive while libuv has a pointer to them. */
  buffer?: Uint8Array;
}

export interface TcpBinding {
  readonly TCP: new (kind: number) => TcpHandle;
  readonly SOCKET: number;
  readonly SERVER: number;
  readonly TCPConnectWrap: new () => LibuvRequest;
  readonly WriteWrap: new () => LibuvWriteRequest;
  readonly ShutdownWrap: new () => LibuvRequest;
  /** Valid within `onread`: returns the number of bytes read, or a negative error number. */
  bytesReadOrError(): number;
  /** Valid right after `writeBuffer`: returns whether a part of the chunk is queued. */
  lastWriteWasQueued(): boolean;
}

interface TcpModule {
  readonly TCP: TcpBinding["TCP"];
  readonly TCPConnectWrap: TcpBinding["TCPConnectWrap"];
  readonly constants: { readonly SOCKET: number; readonly SERVER: number };
}

interface StreamModule {
  readonly WriteWrap: TcpBinding["WriteWrap"];
  readonly ShutdownWrap: TcpBinding["ShutdownWrap"];
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

type MethodsOf<Handle> = {
  readonly [Name in keyof Handle as Handle[Name] extends (...args: never[]) => unknown ? Name : never]: true;
};

/** Every method of {@link TcpHandle}; the type rejects a missing one. */
const HANDLE_METHODS: MethodsOf<TcpHandle> = {
  bind: true,
  bind6: true,
  listen: true,
  connect: true,
  connect6: true,
  setNoDelay: true,
  setKeepAlive: true,
  useUserBuffer: true,
  readStart: true,
  readStop: true,
  writeBuffer: true,
  shutdown: true,
  close: true,
  reset: true,
  getpeername: true,
  getsockname: true,
};

/** Returns the binding, or undefined if this version of Node has none or one of another shape. */
export function loadTcpBinding(): TcpBinding | undefined {
  const load: unknown = Reflect.get(process, "binding");
  if (typeof load !== "function") return undefined;
  try {
    const tcp: unknown = Reflect.apply(load, process, ["tcp_wrap"]);
    const stream: unknown = Reflect.apply(load, process, ["stream_wrap"]);
    if (!isTcpModule(tcp) || !isStreamModule(stream)) return undefined;
    const { streamBaseState: state, kReadBytesOrError, kLastWriteWasAsync } = stream;
    return {
      TCP: tcp.TCP,
      SOCKET: tcp.constants.SOCKET,
      SERVER: tcp.constants.SERVER,
      TCPConnectWrap: tcp.TCPConnectWrap,
      WriteWrap: stream.WriteWrap,
      ShutdownWrap: stream.ShutdownWrap,
      bytesReadOrError: () => state[kReadBytesOrError] ?? 0,
      lastWriteWasQueued: () => state[kLastWriteWasAsync] !== 0,
    };
  } catch {
    return undefined;
  }
}

function isTcpModule(module: unknown): module is TcpModule {
  if (!isRecord(module) || !isRecord(module.constants)) return false;
  const { TCP, TCPConnectWrap, constants } = module;
  return (
    typeof TCP === "function" &&
    Object.keys(HANDLE_METHODS).every((method) => typeof Reflect.get(TCP.prototype, method) === "function") &&
    typeof TCPConnectWrap === "function" &&
    typeof constants.SOCKET === "number" &&
    typeof constants.SERVER === "number"
  );
}

function isStreamModule(module: unknown): module is StreamModule {
  return (
    isRecord(module) &&
    typeof module.WriteWrap === "function" &&
    typeof module.ShutdownWrap === "function" &&
    module.streamBaseState instanceof Int32Array &&
    typeof module.kReadBytesOrError === "number" &&
    typeof module.kLastWriteWasAsync === "number"
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
