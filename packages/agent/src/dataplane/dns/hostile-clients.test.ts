import { createSocket, type Socket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { connect, type Socket as TcpSocket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { decode, encode, streamEncode } from "dns-packet";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DnsServer } from "./dns-server.js";
import type { DnsTable } from "./dns-table.js";
import { Forwarder } from "./forwarder.js";

const GATEWAY = "127.0.1.53";
const UPSTREAM = "127.0.1.54";
const HOSTILE = "127.0.1.61";
const CLIENT = "127.0.1.62";
/** More than the server forwards at a time for all clients. */
const FLOOD = 2_500;
/** Few enough datagrams for a socket's receive buffer. */
const BATCH = 25;
const MAX_PORTS = 10;

/** Replies to queries for "many" are long. */
const TABLE: DnsTable = {
  networks: [
    { id: "n1", name: "shop_default", stack: "shop", subnet: "10.64.0.0/18", gateway: GATEWAY, bridge: "b" },
  ],
  services: [
    {
      key: "n1/many",
      networkId: "n1",
      service: "shop_many",
      stack: "shop",
      names: ["many"],
      vip: "",
      endpoints: Array.from({ length: 200 }, (_, at) => ({
        ...{ id: `t${at}`, nodeId: "h", slot: at + 1 },
        address: `10.64.8.${at + 2}`,
      })),
      draining: [],
    },
  ],
  clients: [HOSTILE, CLIENT].map((address) => ({ address, networkIds: ["n1"], dns: [] })),
};

const query = (id: number, name: string): Buffer =>
  encode({ type: "query", id, questions: [{ type: "A", name }] });

/** Answers every query but those for names in slow.example. */
async function startUpstream(): Promise<Socket> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, UPSTREAM, resolve));
  socket.on("message", (bytes, from) => {
    const { id = 0, questions = [] } = decode(bytes);
    const [name = ""] = questions.map((question) => question.name);
    if (name.endsWith("slow.example")) return;
    const answers = [{ type: "A" as const, name, ttl: 60, data: "192.0.2.80" }];
    socket.send(encode({ type: "response", id, questions, answers }), from.port, from.address);
  });
  return socket;
}

describe("DnsServer", () => {
  let port = 0;
  let upstream: Socket;
  let server: DnsServer;
  const sockets: (Socket | TcpSocket)[] = [];

  beforeEach(async () => {
    for (let attempt = 0; attempt < MAX_PORTS; attempt += 1) {
      upstream = await startUpstream();
      port = upstream.address().port;
      server = new DnsServer({
        forwarder: new Forwarder({ random: Math.random, port, now: () => performance.now() }),
        hostResolvers: async () => [UPSTREAM],
        random: Math.random,
        isVipActive: () => true,
        port,
        onProblem: () => {},
      });
      await server.update(TABLE);
      if (server.problems.length === 0) return;
      await server.close();
      upstream.close();
    }
    throw new Error(`none of ${MAX_PORTS} ports is free at ${GATEWAY}`);
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) "destroy" in socket ? socket.destroy() : socket.close();
    await server.close();
    upstream.close();
  });

  async function openClient(address: string): Promise<Socket> {
    const socket = createSocket("udp4");
    sockets.push(socket);
    await new Promise<void>((resolve) => socket.bind(0, address, resolve));
    return socket;
  }

  /** Resolves a name once. Returns the address, or the error code. */
  async function resolveFrom(address: string, name: string): Promise<string> {
    const resolver = new Resolver({ timeout: 2_000, tries: 1 });
    resolver.setServers([`${GATEWAY}:${port}`]);
    resolver.setLocalAddress(address);
    const answer = await resolver
      .resolve4(name)
      .catch((error: NodeJS.ErrnoException) => [String(error.code)]);
    return answer.join();
  }

  it("dns-slow-domain: resolves all external names while a client asks for a domain that never answers", async () => {
    const hostile = await openClient(HOSTILE);
    let asked = 0;
    const attack = setInterval(() => {
      asked += 1;
      hostile.send(query(asked, `n${asked}.slow.example`), port, GATEWAY);
    }, 125);
    const answers: string[] = [];
    const endMs = performance.now() + 6_000;
    while (performance.now() < endMs) {
      answers.push(await resolveFrom(CLIENT, `n${answers.length}.example.com`));
      await sleep(250);
    }
    clearInterval(attack);
    expect(answers.length).toBeGreaterThan(15);
    expect(answers.filter((answer) => answer !== "192.0.2.80")).toEqual([]);
  });

  it("dns-slow-domain: resolves the first external name after a client alone asked for a domain that never answers", async () => {
    const hostile = await openClient(HOSTILE);
    for (let id = 0; id < 40; id += 1) {
      hostile.send(query(id, `n${id}.slow.example`), port, GATEWAY);
      await sleep(100);
    }
    expect(await resolveFrom(CLIENT, "example.com")).toBe("192.0.2.80");
  });

  it("dns-slow-domain: forwards queries of other clients while one client has more pending queries than its quota", async () => {
    const hostile = await openClient(HOSTILE);
    for (let id = 0; id < FLOOD; id += 1) {
      hostile.send(query(id, `n${id}.slow.example`), port, GATEWAY);
      if (id % BATCH === 0) await sleep(1);
    }
    expect(await resolveFrom(CLIENT, "example.com")).toBe("192.0.2.80");
  });

  it("waits for the networks of a new container while another unknown client sends many queries", async () => {
    const other = { id: "n2", name: "shop_other", gateway: "127.0.1.57" };
    const networks = TABLE.networks.flatMap((network) => [network, { ...network, ...other }]);
    const services = TABLE.services.map((service) => ({ ...service, networkId: "n2", vip: "10.64.0.9" }));
    await server.update({ networks, services, clients: [] });
    const hostile = await openClient(HOSTILE);
    const unknown = query(1, "nosuch");
    const attack = setInterval(() => {
      for (let sent = 0; sent < 10; sent += 1) hostile.send(unknown, port, GATEWAY);
    }, 2);
    await sleep(1_000);
    const answer = resolveFrom(CLIENT, "many");
    await sleep(100);
    const client = { address: CLIENT, networkIds: ["n1", "n2"], dns: [] };
    await server.update({ networks, services, clients: [client] });
    const resolved = await answer;
    clearInterval(attack);
    expect(resolved).toBe("10.64.0.9");
  });

  it("accepts TCP connections of other clients while one client holds as many as it can", async () => {
    for (let opened = 0; opened < 300; opened += 1) {
      const socket = connect({ host: GATEWAY, port, localAddress: HOSTILE });
      sockets.push(socket.on("error", () => {}));
    }
    await sleep(300);
    const reply = new Promise<string>((resolve) => {
      const socket = connect({ host: GATEWAY, port, localAddress: CLIENT });
      sockets.push(socket);
      socket.on("error", (error) => resolve(error.message)).on("close", () => resolve("closed"));
      socket.once("data", () => resolve("answered"));
      socket.write(streamEncode({ type: "query", id: 1, questions: [{ type: "A", name: "nosuch" }] }));
    });
    expect(await reply).toBe("answered");
  });

  it("closes a TCP connection whose client reads no replies", async () => {
    const socket = connect({ host: GATEWAY, port, localAddress: HOSTILE });
    sockets.push(socket);
    const closed = new Promise<void>((resolve) =>
      socket.on("error", () => resolve()).on("close", () => resolve()),
    );
    socket.pause();
    const queries = Buffer.concat(
      Array.from({ length: 1_000 }, (_, id) =>
        streamEncode({ type: "query", id, questions: [{ type: "A", name: "many" }] }),
      ),
    );
    const sending = setInterval(() => socket.writableLength < 1_000_000 && socket.write(queries), 1);
    await closed;
    clearInterval(sending);
    expect(socket.destroyed).toBe(true);
  });

  it("closes a TCP connection that announces a message longer than any query", async () => {
    const socket = connect({ host: GATEWAY, port, localAddress: HOSTILE });
    sockets.push(socket);
    const closed = new Promise<void>((resolve) =>
      socket.on("error", () => resolve()).on("close", () => resolve()),
    );
    socket.resume().write(Buffer.from([0xff, 0xff, 0]));
    const startMs = performance.now();
    await closed;
    expect(performance.now() - startMs).toBeLessThan(5_000);
  });
});
