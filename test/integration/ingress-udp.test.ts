import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import type {
  IngressEndpoint,
  IngressListener,
} from "../../packages/agent/src/dataplane/table/ingress-table.js";
import { reserveUdpPort } from "../harness/reserved-ports.js";
import { Cleanup, deadline, startIngress } from "./ingress-harness.js";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

async function bound(): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  cleanup.add(() => new Promise<void>((resolve) => socket.close(() => resolve())));
  return socket;
}

/** Starts a server that answers each datagram with its ID and the datagram. */
async function startEcho(id: string): Promise<IngressEndpoint> {
  const socket = await bound();
  socket.on("message", (datagram, from) => socket.send(`${id}:${datagram}`, from.port, from.address));
  return { id, address: "127.0.0.1", port: socket.address().port };
}

async function ask(client: Socket, port: number, text: string): Promise<string> {
  const answer = once(client, "message", { signal: AbortSignal.timeout(30_000) });
  client.send(text, port, "127.0.0.1");
  return String((await answer)[0]);
}

function udpListener(port: number, endpoints: readonly IngressEndpoint[]): IngressListener {
  return { protocol: "udp", address: "", port, service: "dns", endpoints, draining: [] };
}

describe("the UDP ingress", () => {
  it("keeps the endpoint of each client and takes turns among clients", async () => {
    const ingress = await startIngress(cleanup);
    const port = await reserveUdpPort();
    const endpoints = [await startEcho("a"), await startEcho("b")];
    await ingress.apply({ version: 1, listeners: [udpListener(port, endpoints)] }, deadline());
    const [first, second] = [await bound(), await bound()];
    expect([await ask(first, port, "1"), await ask(first, port, "2")]).toEqual(["a:1", "a:2"]);
    expect([await ask(second, port, "1"), await ask(second, port, "2")]).toEqual(["b:1", "b:2"]);
    expect(await ask(first, port, "3")).toBe("a:3");
  });

  it("moves a client to another endpoint when its endpoint is removed", async () => {
    const ingress = await startIngress(cleanup);
    const port = await reserveUdpPort();
    const [a, b] = [await startEcho("a"), await startEcho("b")];
    await ingress.apply({ version: 1, listeners: [udpListener(port, [a])] }, deadline());
    const client = await bound();
    expect(await ask(client, port, "1")).toBe("a:1");
    await ingress.apply({ version: 2, listeners: [udpListener(port, [b])] }, deadline());
    expect(await ask(client, port, "2")).toBe("b:2");
    expect((await ingress.stats(deadline())).listeners[0]).toMatchObject({ total: 2, active: 1 });
  });

  it("moves a client to another endpoint when its endpoint refuses", async () => {
    const ingress = await startIngress(cleanup);
    const port = await reserveUdpPort();
    const refusing = { id: "gone", address: "127.0.0.1", port: await reserveUdpPort() };
    await ingress.apply(
      { version: 1, listeners: [udpListener(port, [refusing, await startEcho("b")])] },
      deadline(),
    );
    const client = await bound();
    const answer = once(client, "message", { signal: AbortSignal.timeout(30_000) });
    const resend = setInterval(() => client.send("again", port, "127.0.0.1"), 50);
    cleanup.add(() => clearInterval(resend));
    expect(String((await answer)[0])).toBe("b:again");
  });
});
