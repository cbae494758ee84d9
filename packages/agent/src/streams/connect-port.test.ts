import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { ContainerNetwork } from "../core/docker/observed-container.js";
import { containerWith } from "../core/tasks/testing.js";
import { connectPort } from "./connect-port.js";
import type { StreamContext } from "./stream-context.js";

const servers: Server[] = [];
const ended = new AbortController();
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

const LOOPBACK: ContainerNetwork = { name: "bridge", address: "127.0.0.1" };

function contextWith(...networks: readonly ContainerNetwork[]): StreamContext {
  const tasks = {
    containerOf: () => containerWith({ state: "running", networks }),
    statusOf: () => undefined,
    onAttached: () => {},
  };
  return { engine: {} as StreamContext["engine"], tasks, signal: ended.signal };
}

/** Starts a program in the "container" that answers when its input has ended. */
async function startEcho(): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, async (socket) => {
    const chunks: Buffer[] = [];
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) chunks.push(chunk);
    socket.end(Buffer.concat(chunks));
  });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

test("connectPort() keeps receiving after its input has ended, and is over when both directions have", async () => {
  const { stream, output, isHalfOpen, exited } = await connectPort(
    "t1",
    { port: await startEcho() },
    contextWith(LOOPBACK),
  );
  const sent = Buffer.alloc(3_000_000, "x");
  await stream.write(sent);
  stream.endInput();
  const received: Buffer[] = [];
  for await (const { bytes } of output) received.push(bytes);
  expect([isHalfOpen, Buffer.concat(received).equals(sent)]).toEqual([true, true]);
  expect(await exited()).toEqual({ exitCode: 0, error: "" });
});

test("connectPort() fails with the reason of its signal, not as a timeout, when the stream has ended", async () => {
  const stopped = new AbortController();
  stopped.abort(new Error("the caller has left"));
  const port = await startEcho();
  const context = { ...contextWith(LOOPBACK), signal: stopped.signal };
  await expect(connectPort("t1", { port }, context)).rejects.toThrow("the caller has left");
});

test("connectPort() says that nothing listens on a port", async () => {
  const port = await startEcho();
  for (const server of servers.splice(0)) server.close();
  await expect(connectPort("t1", { port }, contextWith(LOOPBACK))).rejects.toThrow(
    `cannot connect to port ${port} of task t1: connection refused`,
  );
});

test("connectPort() never connects to the host of a container without an address of its own", async () => {
  const port = await startEcho();
  for (const networks of [[], [{ name: "host", address: "" }]])
    await expect(connectPort("t1", { port }, contextWith(...networks))).rejects.toThrow(
      /task t1 has no address/,
    );
});

test.each([0, 65_536])("connectPort() refuses the port %i", async (port) => {
  await expect(connectPort("t1", { port }, contextWith(LOOPBACK))).rejects.toThrow("is not a port");
});
