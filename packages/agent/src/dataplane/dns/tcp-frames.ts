import type { Socket } from "node:net";

const LENGTH_BYTES = 2;

/** Cuts a stream into DNS messages: each has its length in two bytes in front (RFC 1035 §4.2.2). */
export function readFrames(socket: Socket, onMessage: (message: Buffer) => void): void {
  let pending: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (pending.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + pending.readUInt16BE(0);
      if (pending.length < end) return;
      const message = pending.subarray(LENGTH_BYTES, end);
      pending = pending.subarray(end);
      onMessage(message);
    }
  });
}

export function writeFrame(socket: Socket, message: Buffer): void {
  const frame = Buffer.alloc(LENGTH_BYTES + message.length);
  frame.writeUInt16BE(message.length, 0);
  message.copy(frame, LENGTH_BYTES);
  socket.write(frame);
}
