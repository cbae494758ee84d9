import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { readJsonLines } from "./json-lines.js";

const opened: { destroy(): void }[] = [];
afterEach(() => {
  for (const each of opened.splice(0)) each.destroy();
});

/** A pair of connected sockets: what is written to the first is read from the second. */
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

describe("readJsonLines", () => {
  it("puts messages together however they are cut, also inside a character", async () => {
    const [writer, reader] = await socketPair();
    const messages: unknown[] = [];
    readJsonLines(reader, { maxLineBytes: 100, onMessage: (message) => messages.push(message) });
    const bytes = Buffer.from('{"a":"é"}\n[1]\n{"b":2}\n');
    for (const byte of bytes) {
      writer.write(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    writer.end();
    await once(reader, "end");
    expect(messages).toEqual([{ a: "é" }, [1], { b: 2 }]);
  });

  it.each([
    ["a line that is too long", `${"x".repeat(101)}`, "more than 100 bytes"],
    ["a line that is no JSON", "hello\n", "no JSON"],
  ])("ends the connection at %s", async (_name, text, reason) => {
    const [writer, reader] = await socketPair();
    readJsonLines(reader, { maxLineBytes: 100, onMessage: () => {} });
    writer.on("error", () => {});
    writer.write(text);
    const [error] = await once(reader, "error");
    expect(String(error)).toContain(reason);
  });
});
