import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { RpcIdentity } from "@berth/proto/rpc";

/** The part of a generated method definition that a call needs. */
interface Method<Request> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
}

/** A client of a server that reads no response. */
export interface UnreadClient {
  /** Sends a request. */
  call<Request>(method: Method<Request>, request: Request): void;
  /** Whether the server has closed the connection. */
  isClosed(): boolean;
  close(): void;
}

/**
 * Connects a client that reads none of its responses, and keeps its connection alive: its HTTP/2 streams have no room for
 * data.
 */
export function connectStalled(address: string, identity: RpcIdentity): UnreadClient {
  const session: ClientHttp2Session = connectHttp2(`https://${address}`, {
    ...clientTls(identity),
    settings: { initialWindowSize: 0 },
  });
  session.on("error", () => {});
  return {
    call: (method, request) => {
      const stream = session.request({ ...HEADERS, ":path": method.path });
      stream.on("error", () => {});
      stream.end(frameMessage(method, request));
    },
    isClosed: () => session.destroyed,
    close: () => session.destroy(),
  };
}

/**
 * Connects a client that offers large windows, and then reads nothing from its socket: the buffers of both hosts fill up.
 */
export async function connectDeaf(address: string, identity: RpcIdentity): Promise<UnreadClient> {
  const colon = address.lastIndexOf(":");
  const socket = await openTls(address.slice(0, colon), Number(address.slice(colon + 1)), identity);
  socket.on("error", () => {});
  socket.pause();
  socket.write(Buffer.concat([PREFACE, settingsFrame(), windowUpdateFrame()]));
  let streamId = 1;
  return {
    call: (method, request) => {
      const headers = encodeHeaders({ ...HEADERS, ":path": method.path, ":authority": address });
      socket.write(
        Buffer.concat([
          frame(FRAME.headers, { flags: constants.NGHTTP2_FLAG_END_HEADERS, streamId }, headers),
          frame(
            FRAME.data,
            { flags: constants.NGHTTP2_FLAG_END_STREAM, streamId },
            frameMessage(method, request),
          ),
        ]),
      );
      streamId += 2;
    },
    isClosed: () => {
      // A socket that is not read learns of its end when it writes.
      socket.write(settingsFrame());
      return socket.destroyed;
    },
    close: () => socket.destroy(),
  };
}

const HEADERS = {
  ":method": "POST",
  ":scheme": "https",
  "content-type": "application/grpc",
  te: "trailers",
} as const;

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/** Types of frames, by RFC 9113. */
const FRAME = { data: 0, headers: 1, settings: 4, windowUpdate: 8 } as const;
const INITIAL_WINDOW_SIZE = 4;
const MAX_WINDOW = 2 ** 31 - 1;

function clientTls({ current }: RpcIdentity) {
  return {
    rejectUnauthorized: false,
    cert: current.leaf?.certificate,
    key: current.leaf?.key,
    ALPNProtocols: ["h2"],
  };
}

function openTls(host: string, port: number, identity: RpcIdentity): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host, port, ...clientTls(identity) }, () => {
      socket.off("error", reject);
      resolve(socket);
    });
    socket.once("error", reject);
  });
}

/** Returns a request as gRPC frames it. */
function frameMessage<Request>({ requestSerialize }: Method<Request>, request: Request): Buffer {
  const bytes = requestSerialize(request);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

function frame(
  type: number,
  { flags, streamId }: { readonly flags: number; readonly streamId: number },
  payload: Buffer,
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

function settingsFrame(): Buffer {
  const payload = Buffer.alloc(6);
  payload.writeUInt16BE(INITIAL_WINDOW_SIZE, 0);
  payload.writeUInt32BE(MAX_WINDOW, 2);
  return frame(FRAME.settings, { flags: 0, streamId: 0 }, payload);
}

/** Enlarges the window of the connection, which starts with 64 KiB. */
function windowUpdateFrame(): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(MAX_WINDOW - 65_535, 0);
  return frame(FRAME.windowUpdate, { flags: 0, streamId: 0 }, payload);
}

/** Encodes headers literally, without references to earlier ones. Names and values have at most 126 characters. */
function encodeHeaders(headers: Readonly<Record<string, string>>): Buffer {
  const text = (value: string): readonly Buffer[] => [Buffer.of(value.length), Buffer.from(value)];
  const entries = Object.entries(headers);
  // The pseudo-headers come first.
  entries.sort(([a], [b]) => Number(b.startsWith(":")) - Number(a.startsWith(":")));
  return Buffer.concat(entries.flatMap(([name, value]) => [Buffer.of(0), ...text(name), ...text(value)]));
}
