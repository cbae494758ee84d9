import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { WaitingClients } from "@berth/proto";
import { afterEach, describe, expect, it } from "vitest";
import type { IngressEndpoint } from "../../packages/agent/src/dataplane/table/ingress-table.js";
import { eventuallyPasses } from "../harness/eventually.js";
import { reserveTcpPort } from "../harness/reserved-ports.js";
import {
  ask,
  Cleanup,
  deadline,
  openClient,
  startBackend,
  startIngress,
  tcpListener,
} from "./ingress-harness.js";

const MEBIBYTE = 1024 * 1024;
const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** Starts a backend that sends its ID and closes. */
function startNamed(id: string): Promise<IngressEndpoint> {
  return startBackend(cleanup, id, (socket) => socket.end(id));
}

/** Starts a backend that echoes its input and sends FIN after the client. */
function startEcho(id: string, seen: Socket[] = []): Promise<IngressEndpoint> {
  return startBackend(cleanup, id, (socket) => {
    seen.push(socket);
    socket.pipe(socket);
  });
}

/** Starts an endpoint that neither accepts nor refuses connections, like a host without power. */
async function startBlackHole(id: string): Promise<IngressEndpoint> {
  const script = `const s = require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => console.log(s.address().port));`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  cleanup.add(() => child.kill("SIGKILL"));
  const [line] = await once(child.stdout, "data");
  const port = Number(String(line));
  child.kill("SIGSTOP");
  for (let filler = 0; filler < 4; filler += 1) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    cleanup.add(() => socket.destroy());
  }
  await sleep(200);
  return { id, address: "127.0.0.1", port };
}

function countAnswers(answers: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const answer of answers) counts[answer] = (counts[answer] ?? 0) + 1;
  return counts;
}

it("the ingress process can listen on reserved ports", async () => {
  const ingress = await startIngress(cleanup);
  const listeners = Array.from({ length: 50 }, () => tcpListener(reserveTcpPort(), []));
  expect((await ingress.apply({ version: 1, listeners }, deadline())).errors).toEqual([]);
});

describe.each(["raw", "net"])("the TCP ingress over the %s transport", (transport) => {
  async function publish(endpoints: readonly IngressEndpoint[]) {
    const ingress = await startIngress(cleanup, ["--transport", transport]);
    const port = reserveTcpPort();
    const { errors } = await ingress.apply(
      { version: 1, listeners: [tcpListener(port, endpoints)] },
      deadline(),
    );
    expect(errors).toEqual([]);
    return { ingress, port };
  }

  it("holds connections while there is no endpoint, and gives them to the first one in order of arrival", async () => {
    const { ingress, port } = await publish([]);
    const reports: WaitingClients[] = [];
    ingress.watchWaitingClients((report) => reports.push(report));
    const hold = (version: number, endpoints: readonly IngressEndpoint[], holdMs: number) =>
      ingress.apply({ version, listeners: [{ ...tcpListener(port, endpoints), holdMs }] }, deadline());
    await hold(2, [], 10_000);
    const clients = [];
    for (const request of ["one", "two", "three"]) {
      const client = openClient(cleanup, port);
      client.socket.end(request);
      clients.push(client);
      const heldNow = clients.length;
      await eventuallyPasses(async () => {
        expect((await ingress.stats(deadline())).listeners[0]?.held).toBe(heldNow);
      });
    }
    await eventuallyPasses(() => expect(reports.at(-1)?.services).toMatchObject([{ waiting: 3 }]));
    const order: string[] = [];
    const backend = await startBackend(cleanup, "a", (socket) => {
      socket.on("data", (request) => order.push(String(request)));
      socket.pipe(socket);
    });
    await hold(3, [backend], 10_000);
    for (const client of clients) expect(await client.closed).toBe("closed");
    expect(clients.map((client) => client.read())).toEqual(["one", "two", "three"]);
    expect(order).toEqual(["one", "two", "three"]);
    expect((await ingress.stats(deadline())).listeners[0]).toMatchObject({
      held: 0,
      heldTotal: 3,
      failed: 0,
    });
    await eventuallyPasses(() =>
      expect(reports.at(-1)?.services).toMatchObject([{ waiting: 0, total: 3, refused: 0 }]),
    );
  });

  it("resets held connections when their time is up, the service stops holding, or the port is closed", async () => {
    const { ingress, port } = await publish([]);
    const hold = (version: number, holdMs: number) =>
      ingress.apply({ version, listeners: [{ ...tcpListener(port, []), holdMs }] }, deadline());
    const openHeldClient = async () => {
      const held = openClient(cleanup, port);
      await eventuallyPasses(async () => {
        expect((await ingress.stats(deadline())).listeners[0]?.held).toBe(1);
      });
      return held;
    };
    await hold(2, 200);
    expect(await openClient(cleanup, port).closed).toBe("ECONNRESET");
    await hold(3, 60_000);
    const held = await openHeldClient();
    await hold(4, 0);
    expect(await held.closed).toBe("ECONNRESET");
    await hold(5, 60_000);
    const abandoned = await openHeldClient();
    await ingress.apply({ version: 6, listeners: [] }, deadline());
    expect(await abandoned.closed).toBe("ECONNRESET");
  });

  it("takes turns exactly, even while the table changes", async () => {
    const endpoints = await Promise.all(["a", "b", "c"].map(startNamed));
    const { ingress, port } = await publish(endpoints);
    const answers: string[] = [];
    for (let turn = 0; turn < 10; turn += 1) {
      for (let request = 0; request < 6; request += 1) answers.push(await ask(port));
      const listeners = [tcpListener(port, [...endpoints].reverse())];
      await ingress.apply({ version: turn + 2, listeners }, deadline());
    }
    expect(countAnswers(answers)).toEqual({ a: 20, b: 20, c: 20 });
  });

  it("serves every connection while one endpoint refuses and one does not answer", async () => {
    const refusing = { id: "refusing", address: "127.0.0.1", port: reserveTcpPort() };
    const endpoints = [await startNamed("a"), refusing, await startBlackHole("dead"), await startNamed("b")];
    const { ingress, port } = await publish(endpoints);
    const answers: string[] = [];
    for (let batch = 0; batch < 5; batch += 1) {
      answers.push(...(await Promise.all(Array.from({ length: 20 }, () => ask(port)))));
    }
    const counts = countAnswers(answers);
    expect((counts.a ?? 0) + (counts.b ?? 0)).toBe(100);
    expect(Math.abs((counts.a ?? 0) - (counts.b ?? 0))).toBeLessThanOrEqual(10);
    const listener = await eventuallyPasses(async () => {
      const [stats] = (await ingress.stats(deadline())).listeners;
      expect(stats).toMatchObject({ total: 100, failed: 0, active: 0 });
      return stats;
    });
    expect(listener?.retried).toBeGreaterThan(0);
  });

  it("resets the client when no endpoint accepts the connection and serves again once one does", async () => {
    const refusing = { id: "t1", address: "127.0.0.1", port: reserveTcpPort() };
    const { ingress, port } = await publish([refusing]);
    expect(await ask(port)).toBe("ECONNRESET");
    await ingress.apply(
      { version: 2, listeners: [tcpListener(port, [refusing, await startNamed("alive")])] },
      deadline(),
    );
    expect(await ask(port)).toBe("alive");
  });

  it("keeps existing connections while the endpoint drains and resets them when it is removed", async () => {
    const [old, young] = [await startEcho("old"), await startNamed("young")];
    const { ingress, port } = await publish([old]);
    const client = openClient(cleanup, port);
    client.socket.write("before ");
    await eventuallyPasses(() => expect(client.read()).toBe("before "));

    await ingress.apply({ version: 2, listeners: [tcpListener(port, [young], [old])] }, deadline());
    expect(await ask(port)).toBe("young");
    client.socket.write("during");
    await eventuallyPasses(() => expect(client.read()).toBe("before during"));

    await ingress.apply({ version: 3, listeners: [tcpListener(port, [young])] }, deadline());
    expect(await client.closed).toBe("ECONNRESET");
  });

  it("closes the port of a removed listener and keeps its existing connections", async () => {
    const { ingress, port } = await publish([await startEcho("a")]);
    const client = openClient(cleanup, port);
    client.socket.write("still ");
    await eventuallyPasses(() => expect(client.read()).toBe("still "));
    await ingress.apply({ version: 2, listeners: [] }, deadline());
    expect(await ask(port)).toBe("ECONNREFUSED");
    client.socket.end("here");
    expect(await client.closed).toBe("closed");
    expect(client.read()).toBe("still here");
  });

  it("forwards a half-close and every byte in both directions", async () => {
    const received = createHash("sha256");
    const answer = randomBytes(3 * MEBIBYTE);
    const endpoint = await startBackend(cleanup, "a", (socket) => {
      socket.on("data", (chunk) => received.update(chunk));
      socket.on("end", () => socket.end(answer));
    });
    const { port } = await publish([endpoint]);
    const request = randomBytes(3 * MEBIBYTE);
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.end(request);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk);
    expect(received.digest("hex")).toBe(createHash("sha256").update(request).digest("hex"));
    expect(Buffer.concat(chunks).equals(answer)).toBe(true);
  });

  it("forwards a reset from either side", async () => {
    const backendSockets: Socket[] = [];
    const { port } = await publish([await startEcho("a", backendSockets)]);
    const first = openClient(cleanup, port);
    first.socket.write("x");
    await eventuallyPasses(() => expect(first.read()).toBe("x"));
    backendSockets[0]?.resetAndDestroy();
    expect(await first.closed).toBe("ECONNRESET");

    const second = openClient(cleanup, port);
    second.socket.write("x");
    await eventuallyPasses(() => expect(second.read()).toBe("x"));
    const [backend] = backendSockets.slice(-1);
    if (backend === undefined) throw new Error("no connection at the backend");
    const error = once(backend, "error");
    second.socket.resetAndDestroy();
    expect(await error).toMatchObject([{ code: "ECONNRESET" }]);
  });

  it("buffers little of 100 MB while the client does not read and delivers all of it later", async () => {
    const chunk = randomBytes(MEBIBYTE);
    const expected = createHash("sha256");
    const endpoint = await startBackend(cleanup, "a", (socket) => {
      let left = 100;
      const send = (): void => {
        while (left > 0) {
          left -= 1;
          expected.update(chunk);
          if (!socket.write(chunk)) return;
        }
        socket.end();
      };
      socket.on("drain", send);
      send();
    });
    const { ingress, port } = await publish([endpoint]);
    const before = (await ingress.stats(deadline())).residentBytes;
    const socket = connect({ port, host: "127.0.0.1" });
    cleanup.add(() => socket.destroy());
    socket.pause();
    await sleep(1_000);
    const stalled = (await ingress.stats(deadline())).residentBytes;
    expect(stalled - before).toBeLessThan(20 * MEBIBYTE);
    const received = createHash("sha256");
    for await (const part of socket) received.update(part);
    expect(received.digest("hex")).toBe(expected.digest("hex"));
    // Node.js 24 frees written buffers later than Node.js 20.
    expect((await ingress.stats(deadline())).residentBytes - before).toBeLessThan(80 * MEBIBYTE);
  });

  it("accepts connections on the IPv6 loopback address", async () => {
    const { port } = await publish([await startNamed("a")]);
    const socket = connect(port, "::1");
    const [data] = await once(socket, "data");
    socket.destroy();
    expect(String(data)).toBe("a");
  });
});
