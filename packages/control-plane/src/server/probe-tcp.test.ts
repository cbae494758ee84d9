import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { probeTcp } from "./probe-tcp.js";

const never = new AbortController().signal;
const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

async function startListener(): Promise<{ address: string; hangUp: () => void; close: () => Promise<void> }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : 0;
  const hangUp = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const close = async (): Promise<void> => {
    hangUp();
    await new Promise((resolve) => server.close(resolve));
  };
  cleanUps.push(() => void close());
  return { address: `127.0.0.1:${port}`, hangUp, close };
}

describe("probeTcp", () => {
  it("keeps the connection open and reports when the other end closes it", async () => {
    const { address, hangUp } = await startListener();
    const result = await probeTcp(address, 5_000, never);
    if (result.kind !== "open") throw new Error(`not open: ${result.kind}`);
    let isClosed = false;
    void result.closed.then(() => {
      isClosed = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(isClosed).toBe(false);
    hangUp();
    await result.closed;
  });

  it("returns refused when no process listens", async () => {
    const { address, close } = await startListener();
    await close();
    expect(await probeTcp(address, 5_000, never)).toEqual({ kind: "refused" });
  });

  it("returns timeout when its own kernel has no route", async () => {
    expect(await probeTcp("255.255.255.255:9", 20, never)).toEqual({ kind: "timeout" });
  });

  it("returns timeout at once when its signal aborts", async () => {
    const stopping = new AbortController();
    const probing = probeTcp("255.255.255.255:9", 60_000, stopping.signal);
    stopping.abort();
    expect(await probing).toEqual({ kind: "timeout" });
    expect(await probeTcp("255.255.255.255:9", 60_000, stopping.signal)).toEqual({ kind: "timeout" });
  });
});
