import { createSocket, type Socket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { connect } from "node:net";
import { type Answer, decode, encode, streamDecode, streamEncode } from "dns-packet";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DnsServer, type DnsServerProblem } from "./dns-server.js";
import type { DnsTable } from "./dns-table.js";
import { Forwarder } from "./forwarder.js";

const GATEWAY = "127.0.0.53";
const MANY = 200;
const MAX_PORTS = 10;
/** Announces that the resolver accepts longer replies over UDP. */
const EDNS: Answer = {
  type: "OPT",
  name: ".",
  udpPayloadSize: 4_096,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

const NETWORK = {
  id: "n1",
  name: "shop_default",
  stack: "shop",
  subnet: "10.64.0.0/18",
  gateway: GATEWAY,
  bridge: "b",
};
const tasks = (count: number): DnsTable["services"][number]["endpoints"] =>
  Array.from({ length: count }, (_, at) => ({
    id: `t${at}`,
    nodeId: "h",
    address: `10.64.8.${at + 2}`,
    slot: at + 1,
  }));
const named = (name: string, vip: string, count: number): DnsTable["services"][number] => ({
  key: `n1/${name}`,
  networkId: "n1",
  service: `shop_${name}`,
  stack: "shop",
  names: [name],
  vip,
  endpoints: tasks(count),
  draining: [],
});
const TABLE: DnsTable = {
  networks: [NETWORK],
  services: [named("api", "10.64.0.2", 2), named("many", "", MANY)],
  clients: [],
};

/** Starts an upstream resolver that answers every query with one address. */
async function startUpstream(): Promise<Socket> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.54", resolve));
  socket.on("message", (bytes, from) => {
    const { id, questions = [] } = decode(bytes);
    const answers = [{ type: "A" as const, name: questions[0]?.name ?? "", ttl: 60, data: "192.0.2.80" }];
    socket.send(encode({ type: "response", id: id ?? 0, questions, answers }), from.port, from.address);
  });
  return socket;
}

describe("DnsServer", () => {
  let port = 0;
  let upstream: Socket;
  let server: DnsServer;
  let resolvers: readonly string[] = [];
  const problems: DnsServerProblem[] = [];
  const resolver = (): Resolver => {
    const made = new Resolver({ timeout: 2_000, tries: 1 });
    made.setServers([`${GATEWAY}:${port}`]);
    return made;
  };

  beforeEach(async () => {
    problems.length = 0;
    resolvers = ["127.0.0.54"];
    // The server needs the port of the upstream at another address. Take another port when that is in use there.
    for (let attempt = 0; attempt < MAX_PORTS; attempt += 1) {
      upstream = await startUpstream();
      port = upstream.address().port;
      server = new DnsServer({
        forwarder: new Forwarder({ random: Math.random, port, now: () => performance.now() }),
        hostResolvers: async () => resolvers,
        random: Math.random,
        isVipActive: () => true,
        port,
        onProblem: (problem) => problems.push(problem),
      });
      await server.update(TABLE);
      if (server.problems.length === 0) return;
      await server.close();
      upstream.close();
      problems.length = 0;
    }
    throw new Error(`none of ${MAX_PORTS} ports is free at ${GATEWAY}`);
  });
  afterEach(async () => {
    await server.close();
    upstream.close();
  });

  it("answers queries of c-ares", async () => {
    expect(await resolver().resolve4("api", { ttl: true })).toEqual([{ address: "10.64.0.2", ttl: 30 }]);
    await expect(resolver().resolve6("api")).rejects.toMatchObject({ code: "ENODATA" });
    await expect(resolver().resolve4("nosuch")).rejects.toMatchObject({ code: "ENOTFOUND" });
    expect(await resolver().reverse("10.64.0.2")).toEqual(["api.shop_default"]);
  });

  it("answers over TCP when the reply is too long for UDP", async () => {
    expect(await resolver().resolve4("many")).toHaveLength(MANY);
  });

  it.each([
    ["a resolver without EDNS", [], 512],
    ["a resolver with EDNS", [EDNS], 1_232],
  ])("fills a truncated UDP reply for %s", async (_name, additionals, maxBytes) => {
    const socket = createSocket("udp4");
    const reply = new Promise<Buffer>((resolve) => socket.once("message", resolve));
    const questions = [{ type: "A" as const, name: "many" }];
    socket.send(encode({ type: "query", id: 7, questions, additionals }), port, GATEWAY);
    const bytes = await reply;
    socket.close();
    const { flag_tc: isCut, answers = [] } = decode(bytes);
    expect(isCut).toBe(true);
    expect(bytes.length).toBeLessThanOrEqual(maxBytes);
    expect(bytes.length).toBeGreaterThan(maxBytes - 40);
    const addresses = answers.map((record) => (record.type === "A" ? record.data : record.type));
    expect(new Set(addresses).size).toBe(answers.length);
    expect(tasks(MANY).map(({ address }) => address)).toEqual(expect.arrayContaining(addresses));
  });

  it("forwards external names to the host's servers, past one that does not answer", async () => {
    expect(await resolver().resolve4("example.com")).toEqual(["192.0.2.80"]);
    resolvers = ["127.0.0.55", "127.0.0.54"];
    expect(await resolver().resolve4("example.org")).toEqual(["192.0.2.80"]);
  });

  it("answers SERVFAIL, not NXDOMAIN, when no server answers", async () => {
    // The kernel refuses to send to the broadcast address, as it does without a route.
    for (const servers of [[], ["255.255.255.255"]]) {
      resolvers = servers;
      await expect(resolver().resolve4("example.com")).rejects.toMatchObject({ code: "ESERVFAIL" });
    }
  });

  it("skips a server that answers neither queries nor probes and answers SERVFAIL at once", async () => {
    const asked: string[] = [];
    const silent = createSocket("udp4");
    await new Promise<void>((resolve) => silent.bind(port, "127.0.0.55", resolve));
    silent.on("message", (bytes) => {
      const name = decode(bytes).questions?.[0]?.name ?? "";
      // The name of probes is the root.
      if (name !== ".") asked.push(name);
    });
    resolvers = ["127.0.0.55"];
    const fails = (name: string): Promise<unknown> => {
      const patient = new Resolver({ timeout: 5_000, tries: 1 });
      patient.setServers([`${GATEWAY}:${port}`]);
      return expect(patient.resolve4(name)).rejects.toMatchObject({ code: "ESERVFAIL" });
    };
    await Promise.all([fails("one.example"), fails("two.example")]);
    expect(asked.toSorted()).toEqual(["one.example", "one.example", "two.example", "two.example"]);
    await fails("three.example");
    expect(asked).not.toContain("three.example");
    resolvers = ["127.0.0.55", "127.0.0.54"];
    expect(await resolver().resolve4("four.example")).toEqual(["192.0.2.80"]);
    expect(asked).not.toContain("four.example");
    silent.close();
  });

  it("answers several queries of one TCP connection that arrive in fragments", async () => {
    const replies = await new Promise<number[]>((resolve, reject) => {
      const got: number[] = [];
      const socket = connect(port, GATEWAY);
      let pending = Buffer.alloc(0);
      socket.on("error", reject).on("data", (chunk) => {
        pending = Buffer.concat([pending, chunk]);
        for (let size = pending.readUInt16BE(0) + 2; pending.length >= size; ) {
          got.push(streamDecode(pending.subarray(0, size)).id ?? 0);
          pending = pending.subarray(size);
          size = pending.length < 2 ? Number.POSITIVE_INFINITY : pending.readUInt16BE(0) + 2;
        }
        if (got.length === 2) {
          socket.destroy();
          resolve(got);
        }
      });
      const both = Buffer.concat(
        [1, 2].map((id) => streamEncode({ type: "query", id, questions: [{ type: "A", name: "api" }] })),
      );
      socket.write(both.subarray(0, 5));
      setTimeout(() => socket.write(both.subarray(5)), 20);
    });
    expect(replies.sort()).toEqual([1, 2]);
  });

  it.each<[string, Buffer, number | undefined]>([
    ["bytes that are no DNS message", Buffer.from("not a DNS message at all"), undefined],
    ["a header without a question", Buffer.from("abcd00000000000000000000", "hex"), 1],
    [
      "two questions",
      encode({
        type: "query",
        id: 7,
        questions: [
          { type: "A", name: "a" },
          { type: "A", name: "b" },
        ],
      }),
      1,
    ],
    [
      "a truncated question",
      encode({ type: "query", id: 7, questions: [{ type: "A", name: "api" }] }).subarray(0, 15),
      1,
    ],
  ])("keeps serving after %s", async (_name, bytes, rcode) => {
    const socket = createSocket("udp4");
    const reply = new Promise<Buffer>((resolve) => socket.once("message", resolve));
    socket.send(bytes, port, GATEWAY);
    if (rcode !== undefined) expect((await reply).readUInt16BE(2) & 0xf).toBe(rcode);
    socket.close();
    expect(await resolver().resolve4("api")).toEqual(["10.64.0.2"]);
  });

  it("leaves out tasks on suspect nodes unless all nodes are suspect", async () => {
    const [first, second] = tasks(2).map((task, at) => ({ ...task, nodeId: at === 0 ? "good" : "bad" }));
    const service = { ...named("dnsrr", "", 0), endpoints: [first, second].flatMap((one) => one ?? []) };
    await server.update({ ...TABLE, services: [service] });
    server.setSuspectNodes(["bad"]);
    expect(await resolver().resolve4("dnsrr")).toEqual(["10.64.8.2"]);
    server.setSuspectNodes(["bad", "good"]);
    expect(await resolver().resolve4("dnsrr")).toHaveLength(2);
    server.setSuspectNodes([]);
    expect(await resolver().resolve4("dnsrr")).toHaveLength(2);
  });

  it("waits for the networks of a container that has just started", async () => {
    const elsewhere = { ...named("db", "10.64.0.9", 1), networkId: "n2" };
    const both = {
      networks: [NETWORK, { ...NETWORK, id: "n2", gateway: "127.0.0.57" }],
      services: [elsewhere],
    };
    await server.update({ ...both, clients: [] });
    const asked = resolver().resolve4("db");
    await new Promise((resolve) => setTimeout(resolve, 50));
    await server.update({ ...both, clients: [{ address: "127.0.0.1", networkIds: ["n1", "n2"], dns: [] }] });
    expect(await asked).toEqual(["10.64.0.9"]);
  });

  it("reports an address in use and listens there as soon as it is free", async () => {
    const holder = createSocket("udp4");
    await new Promise<void>((resolve) => holder.bind(port, "127.0.0.56", resolve));
    await server.update({ ...TABLE, networks: [NETWORK, { ...NETWORK, id: "n2", gateway: "127.0.0.56" }] });
    expect(problems).toEqual([{ address: "127.0.0.56", code: "EADDRINUSE" }]);
    expect(await resolver().resolve4("api")).toEqual(["10.64.0.2"]);
    holder.close();
    await expect.poll(() => server.problems, { timeout: 3_000 }).toEqual([]);
  });
});
