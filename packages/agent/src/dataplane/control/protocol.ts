// Frames on the control socket, between the agent and the ingress process: a header, then a message of ingress.proto.
import type { Socket } from "node:net";

/** Name of the control socket in the data directory. */
export const SOCKET_NAME = "ingress.sock";
/** Name of the log file of the ingress process in the data directory. */
export const LOG_NAME = "ingress.log";

/** Maximum size of a frame. Enough for a table of 100,000 endpoints; a peer that sends a larger frame is broken. */
export const MAX_FRAME_BYTES = 16 * 1024 * 1024;
/** Length of the body and request ID, 32 bits each. */
const HEADER_BYTES = 8;

/** Calls `onFrame` with each frame read from the socket. Destroys the socket when a frame is too long. */
export function readFrames(socket: Socket, onFrame: (requestId: number, body: Buffer) => void): void {
  let chunks: Buffer[] = [];
  let bufferedBytes = 0;
  /** Length of the next frame, or of its header until that has arrived. */
  let neededBytes = HEADER_BYTES;
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    bufferedBytes += chunk.byteLength;
    if (bufferedBytes < neededBytes) return;
    let buffer = Buffer.concat(chunks, bufferedBytes);
    neededBytes = HEADER_BYTES;
    while (buffer.byteLength >= HEADER_BYTES && !socket.destroyed) {
      const length = buffer.readUInt32BE(0);
      if (length > MAX_FRAME_BYTES) {
        chunks = [];
        socket.destroy(new Error(`frame of ${length} bytes exceeds the limit of ${MAX_FRAME_BYTES}`));
        return;
      }
      neededBytes = HEADER_BYTES + length;
      if (buffer.byteLength < neededBytes) break;
      onFrame(buffer.readUInt32BE(4), buffer.subarray(HEADER_BYTES, neededBytes));
      buffer = buffer.subarray(neededBytes);
      neededBytes = HEADER_BYTES;
    }
    chunks = buffer.byteLength === 0 ? [] : [buffer];
    bufferedBytes = buffer.byteLength;
  });
}

/** Writes one frame. Does nothing when the socket is closed. */
export function writeFrame(socket: Socket, requestId: number, body: Uint8Array): void {
  if (socket.destroyed) return;
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(body.byteLength, 0);
  header.writeUInt32BE(requestId, 4);
  socket.cork();
  socket.write(header);
  socket.write(body);
  socket.uncork();
}
