import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { EMPTY_DNS_TABLE } from "../../packages/agent/src/dataplane/dns/dns-table.js";
import type { IngressMode } from "../../packages/agent/src/dataplane/kernel/ingress-mode.js";
import { Session } from "../../packages/agent/src/dataplane-client/session.js";
import {
  ask,
  Cleanup,
  deadline,
  ENTRY,
  folderFor,
  openClient,
  openTestIngress,
  publish,
  reservePort,
  startBackend,
  startIngress,
  type TestIngress,
  tcpListener,
} from "./ingress-harness.js";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const CLIENT = new URL("../../packages/agent/dist/dataplane-client/client.js", import.meta.url).href;

function open(dataDir: string, mode?: IngressMode): Promise<TestIngress> {
  return openTestIngress({ dataDir, entryPath: ENTRY, ...(mode === undefined ? {} : { mode }) });
}

describe("the ingress process", () => {
  it("serves on when its agent is killed, and the next agent finds it with its connections", async () => {
    const dataDir = folderFor(cleanup);
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.pipe(socket));
    const port = await reservePort();
    const table = { version: 7, listeners: [tcpListener(port, [endpoint])] };
    const agentScript = `import { openIngress } from ${JSON.stringify(CLIENT)};
const logger = { info() {}, warn() {}, error() {} };
const ingress = await openIngress({ dataDir: ${JSON.stringify(dataDir)}, logger, signal: new AbortController().signal });
await ingress.apply(${JSON.stringify(publish(table))}, AbortSignal.timeout(10_000));
console.log("applied");`;
    const agent = spawn(process.execPath, ["--input-type=module", "-e", agentScript], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    cleanup.add(() => agent.kill("SIGKILL"));
    await once(agent.stdout, "data");
    const client = openClient(cleanup, port);
    client.socket.write("one ");
    await vi.waitFor(() => expect(client.read()).toBe("one "));

    agent.kill("SIGKILL");
    await once(agent, "exit");
    client.socket.write("two ");
    await vi.waitFor(() => expect(client.read()).toBe("one two "));

    const next = await open(dataDir);
    cleanup.add(() => next.stop(deadline()));
    expect(next.isServing).toBe(true);
    expect(await next.stats(deadline())).toMatchObject({ version: 7, listeners: [{ active: 1 }] });
    await next.apply({ ...table, version: 8 }, deadline());
    client.socket.end("three");
    expect(await client.closed).toBe("closed");
    expect(client.read()).toBe("one two three");
  });

  it("is started again with what is on its agent's disk when it is killed before the leader has spoken", async () => {
    const ingress = await startIngress(cleanup);
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.end("a"));
    const port = await reservePort();
    expect(ingress.isServing).toBe(false);
    const table = { version: 2, listeners: [tcpListener(port, [endpoint])] };
    ingress.setFallback(() => ({ table, dns: EMPTY_DNS_TABLE }));
    process.kill((await ingress.stats(deadline())).processId, "SIGKILL");
    await vi.waitFor(async () => expect(await ask(port)).toBe("a"), { timeout: 10_000 });
    expect((await ingress.stats(deadline())).version).toBe(2);
  });

  it("is started again with its last table when it is killed, again and again", async () => {
    const ingress = await startIngress(cleanup);
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.end("a"));
    const port = await reservePort();
    await ingress.apply({ version: 3, listeners: [tcpListener(port, [endpoint])] }, deadline());
    for (let round = 0; round < 3; round += 1) {
      const { processId } = await ingress.stats(deadline());
      process.kill(processId, "SIGKILL");
      await vi.waitFor(async () => expect(await ask(port)).toBe("a"), { timeout: 10_000 });
      const stats = await ingress.stats(deadline());
      expect(stats.version).toBe(3);
      expect(stats.processId).not.toBe(processId);
    }
  });

  it("hands its ports to a successor when it is retired, and leaves when its last connection ends", async () => {
    const ingress = await startIngress(cleanup);
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.pipe(socket));
    const port = await reservePort();
    await ingress.apply({ version: 1, listeners: [tcpListener(port, [endpoint])] }, deadline());
    const { processId } = await ingress.stats(deadline());
    const client = openClient(cleanup, port);
    client.socket.write("old ");
    await vi.waitFor(() => expect(client.read()).toBe("old "));

    const session = await Session.open(join(ingress.dataDir, "ingress.sock"));
    await session.request({ $case: "shutDown", value: {} }, "done");
    await vi.waitFor(async () => expect(await ask(port, "new")).toBe("new"), { timeout: 10_000 });
    expect((await ingress.stats(deadline())).processId).not.toBe(processId);
    client.socket.end("lives");
    expect(await client.closed).toBe("closed");
    expect(client.read()).toBe("old lives");
    await vi.waitFor(() => expect(() => process.kill(processId, 0)).toThrow("ESRCH"), { timeout: 5_000 });
  });

  it("makes way for one of another mode", async () => {
    const dataDir = folderFor(cleanup);
    const before = await open(dataDir);
    const after = await open(dataDir, "auto");
    cleanup.add(() => after.stop(deadline()));
    before.close();
    expect((await after.stats(deadline())).path.reason).not.toContain("forced");
    const again = await open(dataDir, "auto");
    cleanup.add(() => again.close());
    expect((await again.stats(deadline())).processId).toBe((await after.stats(deadline())).processId);
  });

  it.each([
    ["its data directory is deleted", () => {}],
    ["another one has taken its data directory's place", (dataDir: string) => takePlace(dataDir)],
  ])("retires when %s: its connections live on, and then it leaves", async (_what, after) => {
    const ingress = await startIngress(cleanup);
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.pipe(socket));
    const port = await reservePort();
    await ingress.apply({ version: 1, listeners: [tcpListener(port, [endpoint])] }, deadline());
    const { processId } = await ingress.stats(deadline());
    ingress.close();
    const client = openClient(cleanup, port);
    client.socket.write("old ");
    await vi.waitFor(() => expect(client.read()).toBe("old "));

    rmSync(ingress.dataDir, { recursive: true });
    await after(ingress.dataDir);
    await vi.waitFor(async () => expect(await ask(port)).toBe("ECONNREFUSED"), { timeout: 15_000 });
    client.socket.end("lives");
    expect(await client.closed).toBe("closed");
    expect(client.read()).toBe("old lives");
    await vi.waitFor(() => expect(() => process.kill(processId, 0)).toThrow("ESRCH"), { timeout: 5_000 });
  });

  /** A new ingress process at the same path, which must not be harmed by the old one's end. */
  async function takePlace(dataDir: string): Promise<void> {
    const successor = await open(dataDir);
    const { processId } = await successor.stats(deadline());
    cleanup.add(async () => {
      expect((await successor.stats(deadline())).processId).toBe(processId);
      await successor.stop(deadline());
    });
  }

  it("starts although a dead process left its socket file", async () => {
    const dataDir = folderFor(cleanup);
    writeFileSync(join(dataDir, "ingress.sock"), "");
    const ingress = await open(dataDir);
    cleanup.add(() => ingress.stop(deadline()));
    expect((await ingress.stats(deadline())).version).toBe(0);
  });

  it("is one process, however many agents start it at once", async () => {
    const dataDir = folderFor(cleanup);
    const agents = await Promise.all(Array.from({ length: 4 }, () => open(dataDir)));
    cleanup.add(() => agents[0]?.stop(deadline()));
    cleanup.add(() => agents.slice(1).map((agent) => agent.close()));
    const stats = await Promise.all(agents.map((agent) => agent.stats(deadline())));
    expect(new Set(stats.map(({ processId }) => processId)).size).toBe(1);
  });

  it("names the program that holds a port, publishes the others, and takes the port when it is free", async () => {
    const squatter = createServer();
    squatter.listen(0, "0.0.0.0");
    await once(squatter, "listening");
    cleanup.add(() => squatter.close());
    const address = squatter.address();
    if (address === null || typeof address === "string") throw new Error("no TCP server");
    const ingress = await startIngress(cleanup);
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.end("a"));
    const free = await reservePort();
    const listeners = [tcpListener(address.port, [endpoint]), tcpListener(free, [endpoint])];
    const { errors } = await ingress.apply({ version: 1, listeners }, deadline());
    expect(errors).toMatchObject([{ port: address.port, service: "web", code: "EADDRINUSE" }]);
    expect(errors[0]?.message).toContain(`(pid ${process.pid}) already listens on that port`);
    expect(await ask(free)).toBe("a");
    squatter.close();
    await vi.waitFor(async () => expect(await ask(address.port)).toBe("a"), { timeout: 10_000 });
    expect((await ingress.stats(deadline())).errors).toEqual([]);
  });

  it("is gone after stop, with its ports", async () => {
    const ingress = await startIngress(cleanup);
    const port = await reservePort();
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.end("a"));
    await ingress.apply({ version: 1, listeners: [tcpListener(port, [endpoint])] }, deadline());
    const { processId } = await ingress.stats(deadline());
    await ingress.stop(deadline());
    await vi.waitFor(() => expect(() => process.kill(processId, 0)).toThrow("ESRCH"), { timeout: 5_000 });
    expect(await ask(port)).toBe("ECONNREFUSED");
  });
});
