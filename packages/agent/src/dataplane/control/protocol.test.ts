import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { MAX_FRAME_BYTES, readFrames, writeFrame } from "./protocol.js";

const opened: { destroy(): void }[] = [];
afterEach(() => {
  for (const each of opened.splice(0)) each.destroy();
});

/** Returns two connected sockets: what is written to the first is read from the second. */
async function socketPair(): Promise<readonly [Socket, Socket]> {
  const server = createServer({ noDelay: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no TCP server");
  const writer = connect(address.port, "127.0.0.1");
  const [reader] = await once(server, "connection");
  server.close();
  opened.push(writer, reader);
  return [writer, reader];
}

describe("readFrames", () => {
  it("reassembles frames that arrive byte by byte", async () => {
    const [sender, receiver] = await socketPair();
    const sent: Buffer[] = [];
    sender.write = (chunk: Uint8Array): boolean => {
      sent.push(Buffer.from(chunk));
      return true;
    };
    writeFrame(sender, 1, Buffer.from("one"));
    writeFrame(sender, 2, Buffer.alloc(0));
    writeFrame(sender, 4_000_000_000, Buffer.from("é"));
    const frames: string[] = [];
    readFrames(receiver, (id, body) => frames.push(`${id} ${body}`));
    for (const byte of Buffer.concat(sent)) receiver.emit("data", Buffer.of(byte));
    expect(frames).toEqual(["1 one", "2 ", "4000000000 é"]);
    receiver.emit("data", Buffer.concat([...sent, ...sent]));
    expect(frames).toHaveLength(9);
  });

  it("closes the connection when a frame is too long", async () => {
    const [writer, reader] = await socketPair();
    readFrames(reader, () => {});
    writer.on("error", () => {});
    const header = Buffer.alloc(8);
    header.writeUInt32BE(MAX_FRAME_BYTES + 1, 0);
    writer.write(header);
    const [error] = await once(reader, "error");
    expect(String(error)).toContain("exceeds the limit");
  });
});
