import type { Socket } from "node:net";

export interface JsonLinesOptions {
  readonly maxLineBytes: number;
  onMessage(message: unknown): void;
}

const NEWLINE = 10;

/**
 * Reads JSON values, one a line, from a socket. A line that is too long or no JSON destroys the socket with an error:
 * after it nothing that follows can be trusted.
 */
export function readJsonLines(socket: Socket, { maxLineBytes, onMessage }: JsonLinesOptions): void {
  let parts: Buffer[] = [];
  let bytes = 0;
  socket.on("data", (chunk: Buffer) => {
    let rest = chunk;
    for (let end = rest.indexOf(NEWLINE); end !== -1 && !socket.destroyed; end = rest.indexOf(NEWLINE)) {
      const line = Buffer.concat([...parts, rest.subarray(0, end)]);
      parts = [];
      bytes = 0;
      rest = rest.subarray(end + 1);
      deliver(socket, line, onMessage);
    }
    bytes += rest.byteLength;
    if (bytes > maxLineBytes) {
      parts = [];
      socket.destroy(new Error(`a line of more than ${maxLineBytes} bytes`));
    } else if (rest.byteLength > 0) parts.push(rest);
  });
}

export function writeJsonLine(socket: Socket, message: unknown): void {
  if (!socket.destroyed) socket.write(`${JSON.stringify(message)}\n`);
}

function deliver(socket: Socket, line: Buffer, onMessage: (message: unknown) => void): void {
  let message: unknown;
  try {
    message = JSON.parse(line.toString("utf8"));
  } catch {
    socket.destroy(new Error("a line that is no JSON"));
    return;
  }
  onMessage(message);
}
