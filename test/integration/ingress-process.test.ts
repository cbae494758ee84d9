import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { INGRESS_PATH } from "../../deploy/lab/berth-commands.js";
import { readFrames, writeFrame } from "../../packages/agent/src/dataplane/control/protocol.js";
import { EMPTY_DNS_TABLE } from "../../packages/agent/src/dataplane/dns/dns-table.js";
import type { IngressMode } from "../../packages/agent/src/dataplane/kernel/ingress-mode.js";
import { IngressSession } from "../../packages/agent/src/dataplane-client/ingress-session.js";
import { DnsConfig, IngressReply, IngressRequest } from "../../proto/src/index.js";
import { eventuallyPasses } from "../harness/eventually.js";
import { reserveTcpPort } from "../harness/reserved-ports.js";
import {
  ask,
  Cleanup,
  deadline,
  directoryFor,
  openClient,
  openTestIngress,
  publish,
  startBackend,
  startIngress,
  type TestIngress,
  tcpListener,
} from "./ingress-harness.js";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const CLIENT = new URL("../../packages/agent/dist/dataplane-client/ingress-client.js", import.meta.url).href;

function open(dataDir: string, mode?: IngressMode): Promise<TestIngress> {
  return openTestIngress({ dataDir, entryPath: INGRESS_PATH, ...(mode === undefined ? {} : { mode }) });
}

describe("the ingress process", () => {
  it("keeps its connections when its agent is killed until the next agent finds it", async () => {
    const dataDir = directoryFor(cleanup);
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.pipe(socket));
    const port = reserveTcpPort();
    const table = { version: 7, listeners: [tcpListener(port, [endpoint])] };
    const agentScript = `import { openIngress } from ${JSON.stringify(CLIENT)};
const logger = { info() {}, warn() {}, error() {} };
const ingress = await openIngress({ dataDir: ${JSON.stringify(dataDir)}, logger, signal: new AbortController().signal });
await ingress.apply(${JSON.stringify(publish(table))}, AbortSignal.timeout(30_000));
console.log("applied");`;
    const agent = spawn(process.execPath, ["--input-type=module", "-e", agentScript], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    cleanup.add(() => agent.kill("SIGKILL"));
    await once(agent.stdout, "data");
    const client = openClient(cleanup, port);
    client.socket.write("one ");
    await eventuallyPasses(() => expect(client.read()).toBe("one "));

    agent.kill("SIGKILL");
    await once(agent, "exit");
    client.socket.write("two ");
    await eventuallyPasses(() => expect(client.read()).toBe("one two "));

    const next = await open(dataDir);
    cleanup.add(() => next.stop(deadline()));
    expect(next.isServing).toBe(true);
    expect(await next.stats(deadline())).toMatchObject({ version: 7, listeners: [{ active: 1 }] });
    await next.apply({ ...table, version: 8 }, deadline());
    client.socket.end("three");
    expect(await client.closed).toBe("closed");
    expect(client.read()).toBe("one two three");
  });

  it("the ingress process is restarted with the configuration from the agent's disk when it dies before the leader has sent one", async () => {
    const ingress = await startIngress(cleanup);
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.end("a"));
    const port = reserveTcpPort();
    expect(ingress.isServing).toBe(false);
    const table = { version: 2, listeners: [tcpListener(port, [endpoint])] };
    ingress.setFallback(() => ({ table, dns: EMPTY_DNS_TABLE }));
    process.kill((await ingress.stats(deadline())).processId, "SIGKILL");
    await eventuallyPasses(async () => expect(await ask(port)).toBe("a"));
    expect((await ingress.stats(deadline())).version).toBe(2);
  });

  it("the ingress process is restarted with its last table each time it dies", async () => {
    const ingress = await startIngress(cleanup);
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.end("a"));
    const port = reserveTcpPort();
    await ingress.apply({ version: 3, listeners: [tcpListener(port, [endpoint])] }, deadline());
    for (let round = 0; round < 3; round += 1) {
      const { processId } = await ingress.stats(deadline());
      process.kill(processId, "SIGKILL");
      await eventuallyPasses(async () => expect(await ask(port)).toBe("a"));
      const stats = await ingress.stats(deadline());
      expect(stats.version).toBe(3);
      expect(stats.processId).not.toBe(processId);
    }
  });

  it("frees its ports on a graceful shutdown and exits when its last connection ends", async () => {
    const ingress = await startIngress(cleanup);
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.pipe(socket));
    const port = reserveTcpPort();
    await ingress.apply({ version: 1, listeners: [tcpListener(port, [endpoint])] }, deadline());
    const { processId } = await ingress.stats(deadline());
    const client = openClient(cleanup, port);
    client.socket.write("old ");
    await eventuallyPasses(() => expect(client.read()).toBe("old "));

    const session = await IngressSession.open(join(ingress.dataDir, "ingress.sock"));
    await session.request({ $case: "shutDown", value: {} }, "done");
    await eventuallyPasses(async () => expect(await ask(port, "new")).toBe("new"));
    expect((await ingress.stats(deadline())).processId).not.toBe(processId);
    client.socket.end("lives");
    expect(await client.closed).toBe("closed");
    expect(client.read()).toBe("old lives");
    await eventuallyPasses(() => expect(() => process.kill(processId, 0)).toThrow("ESRCH"));
  });

  it("a process with another mode replaces the ingress process", async () => {
    const dataDir = directoryFor(cleanup);
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
    ["its data directory is replaced", (dataDir: string) => startInSamePlace(dataDir)],
  ])("shuts down when %s, and exits when its last connection ends", async (_what, after) => {
    const ingress = await startIngress(cleanup);
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.pipe(socket));
    const port = reserveTcpPort();
    await ingress.apply({ version: 1, listeners: [tcpListener(port, [endpoint])] }, deadline());
    const { processId } = await ingress.stats(deadline());
    ingress.close();
    const client = openClient(cleanup, port);
    client.socket.write("old ");
    await eventuallyPasses(() => expect(client.read()).toBe("old "));

    rmSync(ingress.dataDir, { recursive: true });
    await after(ingress.dataDir);
    await eventuallyPasses(async () => expect(await ask(port)).toBe("ECONNREFUSED"));
    client.socket.end("lives");
    expect(await client.closed).toBe("closed");
    expect(client.read()).toBe("old lives");
    await eventuallyPasses(() => expect(() => process.kill(processId, 0)).toThrow("ESRCH"));
  });

  /** Starts an ingress process at the same path. The exit of the old one must not affect it. */
  async function startInSamePlace(dataDir: string): Promise<void> {
    const successor = await open(dataDir);
    const { processId } = await successor.stats(deadline());
    cleanup.add(async () => {
      expect((await successor.stats(deadline())).processId).toBe(processId);
      await successor.stop(deadline());
    });
  }

  it("starts when a dead process left its socket file", async () => {
    const dataDir = directoryFor(cleanup);
    writeFileSync(join(dataDir, "ingress.sock"), "");
    const ingress = await open(dataDir);
    cleanup.add(() => ingress.stop(deadline()));
    expect((await ingress.stats(deadline())).version).toBe(0);
  });

  it("runs once when several agents start it at the same time", async () => {
    const dataDir = directoryFor(cleanup);
    const agents = await Promise.all(Array.from({ length: 4 }, () => open(dataDir)));
    cleanup.add(() => agents[0]?.stop(deadline()));
    cleanup.add(() => agents.slice(1).map((agent) => agent.close()));
    const stats = await Promise.all(agents.map((agent) => agent.stats(deadline())));
    expect(new Set(stats.map(({ processId }) => processId)).size).toBe(1);
  });

  it("names the program that holds a port and opens the port once it is free", async () => {
    const squatter = createServer();
    squatter.listen(0, "0.0.0.0");
    await once(squatter, "listening");
    cleanup.add(() => squatter.close());
    const address = squatter.address();
    if (address === null || typeof address === "string") throw new Error("no TCP server");
    const ingress = await startIngress(cleanup);
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.end("a"));
    const free = reserveTcpPort();
    const listeners = [tcpListener(address.port, [endpoint]), tcpListener(free, [endpoint])];
    const { errors } = await ingress.apply({ version: 1, listeners }, deadline());
    expect(errors).toMatchObject([{ port: address.port, service: "web", code: "EADDRINUSE" }]);
    expect(errors[0]?.message).toContain(`(pid ${process.pid}) already listens on that port`);
    expect(await ask(free)).toBe("a");
    squatter.close();
    await eventuallyPasses(async () => expect(await ask(address.port)).toBe("a"));
    expect((await ingress.stats(deadline())).errors).toEqual([]);
  });

  it("exits on a stop request and closes its ports", async () => {
    const ingress = await startIngress(cleanup);
    const port = reserveTcpPort();
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.end("a"));
    await ingress.apply({ version: 1, listeners: [tcpListener(port, [endpoint])] }, deadline());
    const { processId } = await ingress.stats(deadline());
    await ingress.stop(deadline());
    await eventuallyPasses(() => expect(() => process.kill(processId, 0)).toThrow("ESRCH"));
    expect(await ask(port)).toBe("ECONNREFUSED");
  });

  it("answers a malformed request with an error and keeps the session", async () => {
    const { dataDir } = await startIngress(cleanup);
    const socket = connect(join(dataDir, "ingress.sock"));
    cleanup.add(() => socket.destroy());
    const replies: { readonly id: number; readonly reply: IngressReply["reply"] }[] = [];
    readFrames(socket, (id, body) => replies.push({ id, reply: IngressReply.decode(body).reply }));
    await eventuallyPasses(() => expect(replies[0]?.reply?.$case).toBe("hello"));
    const gateway = { ...DnsConfig.fromPartial({ networks: [{ gateway: "not an address" }] }) };
    writeFrame(socket, 7, Buffer.from([0xff, 0xff, 0xff]));
    writeFrame(socket, 8, new Uint8Array());
    writeFrame(socket, 9, IngressRequest.encode({ request: { $case: "applyDns", value: gateway } }).finish());
    writeFrame(socket, 10, IngressRequest.encode({ request: { $case: "getStatus", value: {} } }).finish());
    await eventuallyPasses(() => expect(replies).toHaveLength(5));
    expect(
      replies
        .slice(1)
        .map(({ id, reply }) => `${id} ${reply?.$case}`)
        .sort(),
    ).toEqual(["10 status", "7 error", "8 error", "9 error"]);
  });

  it("logs an unhandled rejection with its reason and exits with status 1", async () => {
    const dataDir = directoryFor(cleanup);
    const socketPath = JSON.stringify(join(dataDir, "ingress.sock"));
    const stray = `import { existsSync } from "node:fs";
setInterval(() => { if (existsSync(${socketPath})) Promise.reject(new Error("stray rejection")); }, 20);`;
    const args = ["--import", `data:text/javascript,${encodeURIComponent(stray)}`, INGRESS_PATH];
    const child = spawn(process.execPath, [...args, "--data-dir", dataDir], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    cleanup.add(() => void child.kill("SIGKILL"));
    const output = text(child.stdout);
    const [code] = await once(child, "exit");
    expect(code).toBe(1);
    const fatal = (await output).split("\n").find((line) => line.includes('"level":60'));
    expect(fatal).toContain("stray rejection");
  });
});
