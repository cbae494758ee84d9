import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { decode, encode, streamDecode, streamEncode } from "dns-packet";
import { afterEach, describe, expect, it } from "vitest";
import { INGRESS_PATH } from "../../deploy/lab/berth-commands.js";
import type { DnsTable } from "../../packages/agent/src/dataplane/dns/dns-table.js";
import { encodeSnapshot } from "../../packages/agent/src/dataplane/handover/message.js";
import { spawnSuccessor } from "../../packages/agent/src/dataplane/spawn-ingress.js";
import type { IngressListener } from "../../packages/agent/src/dataplane/table/ingress-table.js";
import { eventuallyPasses } from "../harness/eventually.js";
import { reserveTcpPort, reserveUdpPort } from "../harness/reserved-ports.js";
import { boundSocket, type Load, NUMBERED, startUdpRequests } from "./datagram-load.js";
import {
  ask,
  Cleanup,
  deadline,
  directoryFor,
  openClient,
  openTestIngress,
  startBackend,
  startRequests,
  type TestIngress,
  tcpListener,
} from "./ingress-harness.js";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

function open(
  dataDir: string,
  release: string,
  {
    entryPath = INGRESS_PATH,
    args = [],
  }: { readonly entryPath?: string; readonly args?: readonly string[] } = {},
): Promise<TestIngress> {
  return openTestIngress({ dataDir, entryPath, release, args });
}

/** Loopback addresses that no other run of this file uses: the DNS server always listens on port 53. */
const [high, low] = [(process.pid >> 8) & 0xff, process.pid & 0xff];
const GATEWAY = `127.53.${high}.${low}`;
const OUTSIDE = `127.54.${high}.${low}`;

/** The state of an ingress process without any configuration. */
const EMPTY_SNAPSHOT = encodeSnapshot({
  table: { version: 0, listeners: [] },
  suspectNodeIds: [],
  dns: { networks: [], services: [], clients: [] },
  activeVips: [],
});

/** Starts an upstream DNS server that answers slowly, so that queries are always pending. */
async function startSlowNameServer(): Promise<void> {
  const socket = await boundSocket(cleanup, OUTSIDE, 53);
  socket.on("message", (bytes, { address, port }) => {
    const { id = 0, questions = [] } = decode(bytes);
    const answers = questions.map(({ name }) => ({ type: "A", name, ttl: 1, data: "192.0.2.1" }) as const);
    const reply = encode({ type: "response", id, questions, answers });
    setTimeout(() => socket.send(reply, port, address), 150);
  });
}

function askForName(name: string, everyMs: number): Load {
  return startUdpRequests(cleanup, {
    to: { address: GATEWAY, port: 53 },
    everyMs,
    socket: "once",
    ask: (id) => encode({ type: "query", id, questions: [{ type: "A", name }] }),
    read: (bytes) => {
      const { id = 0, answers = [] } = decode(bytes);
      return {
        number: id,
        text: answers.map((answer) => ("data" in answer ? String(answer.data) : "")).join(),
      };
    },
  });
}

const NAMES: DnsTable = {
  networks: [
    { id: "n1", name: "shop_default", stack: "shop", subnet: "10.64.0.0/18", gateway: GATEWAY, bridge: "b" },
  ],
  services: [
    {
      key: "n1/api",
      networkId: "n1",
      service: "shop_api",
      stack: "shop",
      names: ["api"],
      vip: "",
      endpoints: [{ id: "t1", nodeId: "h", address: "10.64.8.2", slot: 1 }],
      draining: [],
    },
  ],
  clients: [{ address: "127.0.0.1", networkIds: ["n1"], dns: [OUTSIDE] }],
};

describe.each([
  ["raw", "raw"],
  ["net", "net"],
  // The successor runs on a Node version without a usable TCP binding, or the predecessor did.
  ["raw", "net"],
  ["net", "raw"],
])("an ingress process on the %s transport with a successor on the %s transport", (transport, next) => {
  const openOld = (dataDir: string): Promise<TestIngress> =>
    open(dataDir, "old", { args: ["--transport", transport] });
  const openNew = (dataDir: string): Promise<TestIngress> =>
    open(dataDir, "new", { args: ["--transport", next] });

  it("hands over listening sockets: no connection is refused or cut off", async () => {
    const dataDir = directoryFor(cleanup);
    const old = await openOld(dataDir);
    const port = reserveTcpPort();
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.pipe(socket));
    const listeners = [tcpListener(port, [endpoint])];
    await old.apply({ version: 1, listeners }, deadline());
    const { processId } = await old.stats(deadline());
    const kept = openClient(cleanup, port);
    kept.socket.write("one");
    await expect.poll(() => kept.read()).toBe("one");
    const asking = startRequests(port);
    await sleep(50);
    old.close();

    const successor = await openNew(dataDir);
    cleanup.add(() => successor.stop(deadline()));
    const stats = await successor.stats(deadline());
    expect(stats.processId).not.toBe(processId);
    // It serves before the agent has applied a table.
    expect(stats).toMatchObject({ version: 1, errors: [], listeners: [{ port, service: "web" }] });
    await successor.apply({ version: 2, listeners }, deadline());
    await sleep(100);
    const answers = await asking.stop(50);
    expect(answers.filter((answer) => answer !== "x")).toEqual([]);

    kept.socket.end(" two");
    await kept.closed;
    expect(kept.read()).toBe("one two");
    // The inherited socket is closed with its listener.
    await successor.apply({ version: 3, listeners: [] }, deadline());
    expect(await ask(port)).toBe("ECONNREFUSED");
    await eventuallyPasses(() => expect(() => process.kill(processId, 0)).toThrow("ESRCH"));
  });
});

describe("an ingress process of another release", () => {
  it("hands over UDP sockets and flows: no datagram is lost and clients keep their endpoints", async () => {
    const dataDir = directoryFor(cleanup);
    const old = await open(dataDir, "old");
    const port = await reserveUdpPort();
    const endpoints = await Promise.all(
      ["a", "b", "c"].map(async (id) => {
        const echo = await boundSocket(cleanup);
        // The source port shows whether it is the same flow.
        echo.on("message", (bytes, from) =>
          echo.send(`${bytes} ${id}:${from.port}`, from.port, from.address),
        );
        return { id, address: "127.0.0.1", port: echo.address().port };
      }),
    );
    const web = tcpListener(port, endpoints);
    await old.apply({ version: 1, listeners: [{ ...web, protocol: "udp" }] }, deadline());
    const load = {
      to: { address: "127.0.0.1", port },
      ...NUMBERED,
    };
    const kept: Load[] = [];
    // So few datagrams that they fit into the kernel's buffers if a process does not run for a second.
    for (let client = 0; client < 4; client += 1) {
      kept.push(startUdpRequests(cleanup, { ...load, everyMs: 20, socket: await boundSocket(cleanup) }));
    }
    const fresh = startUdpRequests(cleanup, { ...load, everyMs: 10, socket: "once" });
    await sleep(100);
    const { processId } = await old.stats(deadline());
    old.close();

    const successor = await open(dataDir, "new");
    cleanup.add(() => successor.stop(deadline()));
    // The predecessor has no flows left to wait for.
    await eventuallyPasses(() => expect(() => process.kill(processId, 0)).toThrow("ESRCH"));
    await sleep(100);
    for (const client of kept) {
      const answers = await client.stop(10);
      expect(new Set(answers).size, String(answers)).toBe(1);
      expect(answers[0]).toMatch(/^[abc]:\d+$/);
    }
    const answers = await fresh.stop(20);
    expect(answers.filter((answer) => answer === undefined)).toEqual([]);
    const { listeners, errors } = await successor.stats(deadline());
    expect(errors).toEqual([]);
    expect(listeners[0]?.active).toBeGreaterThan(kept.length);
  });

  it("hands over DNS sockets: no query is lost, not even a pending one", async () => {
    const dataDir = directoryFor(cleanup);
    await startSlowNameServer();
    const old = await open(dataDir, "old");
    await old.updateDns(NAMES, deadline());
    const { processId } = await old.stats(deadline());
    const own = askForName("api", 5);
    const foreign = askForName("example.com", 20);
    const resolver = new Resolver({ timeout: 5_000, tries: 1 });
    resolver.setServers([GATEWAY]);
    const kept = connect(53, GATEWAY);
    cleanup.add(() => kept.destroy());
    await once(kept, "connect");
    await sleep(100);
    old.close();

    const successor = await open(dataDir, "new");
    cleanup.add(() => successor.stop(deadline()));
    // Before the agent has applied a DNS configuration.
    expect(await resolver.resolve4("api")).toEqual(["10.64.8.2"]);
    const answered = once(kept, "data");
    kept.end(streamEncode({ type: "query", id: 1, questions: [{ type: "A", name: "api" }] }));
    expect(streamDecode((await answered)[0]).answers).toMatchObject([{ data: "10.64.8.2" }]);
    await eventuallyPasses(() => expect(() => process.kill(processId, 0)).toThrow("ESRCH"));
    await successor.updateDns(NAMES, deadline());
    await sleep(50);
    const [answers, others] = [await own.stop(40), await foreign.stop(10)];
    expect(new Set(answers)).toEqual(new Set(["10.64.8.2"]));
    expect(new Set(others)).toEqual(new Set(["192.0.2.1"]));
    expect((await successor.status(deadline())).dnsProblems).toEqual([]);
  });

  it("continues when the successor does not start", async () => {
    const dataDir = directoryFor(cleanup);
    const old = await open(dataDir, "old");
    const port = reserveTcpPort();
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.pipe(socket));
    await old.apply({ version: 1, listeners: [tcpListener(port, [endpoint])] }, deadline());
    const { processId } = await old.stats(deadline());
    old.close();
    const agent = await open(dataDir, "new", { entryPath: "/no/such/entry.js" });
    cleanup.add(() => agent.stop(deadline()));
    expect((await agent.stats(deadline())).processId).toBe(processId);
    expect(await ask(port, "x")).toBe("x");
  });

  it("continues when the successor exits during the handover", async () => {
    const dataDir = directoryFor(cleanup);
    const faulty = join(dataDir, "faulty.mjs");
    writeFileSync(
      faulty,
      `process.on("message", ({ kind }) => {
         if (kind === "snapshot") process.send({ kind: "prepared" });
         if (kind === "receive") process.exit(1);
       });
       process.send({ kind: "ready" });`,
    );
    const old = await open(dataDir, "old");
    const port = await reserveUdpPort();
    const echo = await boundSocket(cleanup);
    echo.on("message", (bytes, from) => echo.send(`${bytes} ${from.port}`, from.port, from.address));
    const endpoint = { id: "a", address: "127.0.0.1", port: echo.address().port };
    const listeners: IngressListener[] = [{ ...tcpListener(port, [endpoint]), protocol: "udp" }];
    await old.apply({ version: 1, listeners }, deadline());
    const { processId } = await old.stats(deadline());
    const load = startUdpRequests(cleanup, {
      to: { address: "127.0.0.1", port },
      ...NUMBERED,
      everyMs: 5,
      socket: await boundSocket(cleanup),
    });
    await sleep(50);
    old.close();
    const agent = await open(dataDir, "new", { entryPath: faulty });
    cleanup.add(() => agent.stop(deadline()));
    expect((await agent.stats(deadline())).processId).toBe(processId);
    await sleep(50);
    const answers = await load.stop(20);
    expect(new Set(answers).size, String(answers)).toBe(1);
  });

  it.each([
    ["exits when its predecessor exits before the handover is complete", "prepared", false],
    ["serves when its predecessor exits after the handover", "serving", true],
  ] as const)("a successor %s", async (_what, lastWord, isServing) => {
    const dataDir = directoryFor(cleanup);
    const successor = spawnSuccessor(dataDir, {
      executable: process.execPath,
      entryPath: INGRESS_PATH,
      args: [],
    });
    cleanup.add(() => void successor.kill("SIGKILL"));
    const ended = once(successor, "exit");
    successor.on("message", ({ kind }: { readonly kind: string }) => {
      if (kind === lastWord) successor.disconnect();
      else if (kind === "prepared") successor.send({ kind: "receive" });
      else successor.send({ kind: "snapshot", bytes: EMPTY_SNAPSHOT });
    });
    if (isServing) {
      const agent = await openTestIngress({ dataDir, launch: false });
      expect((await agent.stats(deadline())).processId).toBe(successor.pid);
      await agent.stop(deadline());
    }
    expect(await ended).toEqual([isServing ? 0 : 1, null]);
  });

  it("an agent of the same release does not replace the ingress process", async () => {
    const dataDir = directoryFor(cleanup);
    const first = await open(dataDir, "same");
    const { processId } = await first.stats(deadline());
    first.close();
    const second = await open(dataDir, "same");
    cleanup.add(() => second.stop(deadline()));
    expect((await second.stats(deadline())).processId).toBe(processId);
  });
});
