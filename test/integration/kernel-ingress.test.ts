import { once } from "node:events";
import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { bucketOf, rendezvous } from "../../packages/agent/src/dataplane/balancing/rendezvous.js";
import { eventuallyPasses } from "../harness/eventually.js";
import { Cleanup, deadline } from "./ingress-harness.js";
import {
  apply,
  countAnswers,
  localEndpoint,
  publishedListener,
  remoteEndpoint,
  startKernelIngress,
} from "./kernel/kernel-ingress.js";
import { ADDRESS, TestNetwork } from "./kernel/test-network.js";

const cleanup = new Cleanup();
let network: TestNetwork;
beforeAll(async () => {
  network = await TestNetwork.create();
  await network.startServer("b", 8_001);
  await network.startServer("b", 8_002, "tcp", "b2");
  await network.startServer("c", 8_001);
  await network.startServer("c1", 80);
  await network.startServer("c2", 80);
  for (const place of ["b", "c", "c1"] as const) await network.startServer(place, 53, "udp");
});
afterAll(() => network.dispose());
afterEach(() => cleanup.run());

const [B, C] = [remoteEndpoint("b", 8_001), remoteEndpoint("c", 8_001)];
const [C1, C2] = [localEndpoint("c1", 80), localEndpoint("c2", 80)];
const CLIENT = ADDRESS.client;
/** Less than the interval of the periodic check of the ruleset, so that only a notification can be the cause. */
const NOTIFICATION_MS = 8_000;
/** Several times the size of all buffers on the path, and no multiple of one. */
const TRANSFER_BYTES = 32 * 1024 * 1024 + 17;
/** conntrack timeouts of the host in the idle test, and an idle time well above them. */
const CONNTRACK_TIMEOUT_S = 1;
const IDLE_MS = 2_500;

/** Digests of the bytes that were sent, received by the server, and echoed. */
interface CopyResult {
  readonly end: string;
  readonly sent: string;
  readonly there: string;
  readonly back: string;
}

/** When TCP retransmits an unanswered SYN. */
const RETRANSMISSION_MS = 1_000;
/** Longer than the agent repeats its challenge ACKs. */
const CHALLENGE_ACKS_MS = 250;

/** Removes the kernel's entries of earlier connections: an attempt that is repeated must not count them. */
function forgetConnections(): void {
  network.run("a", "conntrack", "-F");
}

/** Returns the number of connections without an answer to their SYN. */
function unanswered(...filter: readonly string[]): number {
  const list = network.run("a", "conntrack", "-L", "-p", "tcp", "--state", "SYN_SENT", ...filter);
  return list.split("\n").length - 1;
}

/**
 * Waits until this many connections have no answer, but not beyond a retransmission, which would answer them. Returns the
 * number that was counted last.
 */
async function untilUnanswered(count: number, ...filter: readonly string[]): Promise<number> {
  await eventuallyPasses(() => expect(unanswered(...filter)).toBe(count), RETRANSMISSION_MS).catch(() => {});
  return unanswered(...filter);
}

/** Returns the number of balanced connections that lack the mark of answered ones. */
function notMarkedAsAnswered(): number {
  return (
    network.run("a", "conntrack", "-L", "-p", "tcp", "--mark", "0x200000/0xa00000").split("\n").length - 1
  );
}

function tables(): string {
  return network.run("a", "nft", "list", "tables");
}

/** Returns the number of connections that the kernel balanced. The ingress process counts its own. */
function kernelConnections(): number {
  const json = JSON.parse(network.run("a", "nft", "-j", "list", "table", "ip", "berth"));
  let count = 0;
  for (const { set } of json.nftables) {
    for (const { elem } of set?.name === "remotes" || set?.name === "locals" ? (set.elem ?? []) : []) {
      count += elem.counter.packets;
    }
  }
  return count;
}

describe("the kernel path", () => {
  it("balances evenly over endpoints on three hosts and keeps the client's address on its own host", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    expect((await ingress.stats(deadline())).path).toEqual({
      kernel: true,
      reason: "forced by --ingress kernel",
    });
    await apply(ingress, publishedListener(8_080, [B, C, C1]));
    const answers = await network.connectRepeatedly("client", ADDRESS.a, 8_080, { count: 60, parallel: 6 });
    expect(countAnswers(answers)).toEqual({
      [`b ${ADDRESS.a}`]: 20,
      [`c ${ADDRESS.a}`]: 20,
      [`c1 ${CLIENT}`]: 20,
    });
    expect(kernelConnections()).toBe(60);
    await network.call("client", "open", { connection: 9, host: ADDRESS.a, port: 8_080 });
    const { listeners } = await ingress.stats(deadline());
    expect(listeners[0]).toMatchObject({ total: 61, active: 1 });
    expect(listeners[0]?.endpoints.map(({ total }) => total).sort()).toEqual([20, 20, 21]);
  });

  it("serves programs of the host: its address in the kernel, 127.0.0.1 in the ingress process", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    await apply(ingress, publishedListener(8_080, [B, C1]));
    expect(countAnswers(await network.connectRepeatedly("a", ADDRESS.a, 8_080, { count: 4 }))).toEqual({
      [`b ${ADDRESS.a}`]: 2,
      [`c1 ${ADDRESS.a}`]: 2,
    });
    expect(kernelConnections()).toBe(4);
    await apply(ingress, publishedListener(8_080, [B]));
    expect(countAnswers(await network.connectRepeatedly("a", "127.0.0.1", 8_080, { count: 4 }))).toEqual({
      [`b ${ADDRESS.a}`]: 4,
    });
    expect(kernelConnections()).toBe(2);
    // Connections to a removed endpoint count, too.
    expect((await ingress.stats(deadline())).listeners[0]?.total).toBe(8);
  });

  it.each([0, 1])(
    "serves containers on the bridge of the endpoint, including the endpoint itself (bridge filter %i)",
    async (filter) => {
      network.run("a", "sh", "-c", `echo ${filter} > /sys/class/net/br0/bridge/nf_call_iptables`);
      const ingress = await startKernelIngress(network, cleanup);
      // Docker's published port, which the ingress process uses for a container that connects to itself.
      await network.startServer("a", 32_000, "tcp", "docker");
      cleanup.add(() => network.closeServer("a", 32_000));
      await apply(ingress, publishedListener(8_080, [C1]));
      expect(countAnswers(await network.connectRepeatedly("c2", ADDRESS.a, 8_080, { count: 4 }))).toEqual({
        "c1 172.30.0.1": 4,
      });
      expect(countAnswers(await network.connectRepeatedly("c2", "172.30.0.1", 8_080, { count: 4 }))).toEqual({
        "c1 172.30.0.1": 4,
      });
      expect(kernelConnections()).toBe(8);
      expect(countAnswers(await network.connectRepeatedly("c1", ADDRESS.a, 8_080, { count: 4 }))).toEqual({
        [`docker ${ADDRESS.a}`]: 4,
      });
      await apply(ingress, publishedListener(8_080, [B]));
      expect(countAnswers(await network.connectRepeatedly("c1", ADDRESS.a, 8_080, { count: 4 }))).toEqual({
        [`b ${ADDRESS.a}`]: 4,
      });
    },
  );

  it("retries a refused connection at once with another endpoint", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    const refusing = [9_997, 9_998, 9_999].map((port) => remoteEndpoint("b", port, `b${port}`));
    await apply(ingress, publishedListener(8_080, [...refusing, C]));
    const answers = await network.connectRepeatedly("client", ADDRESS.a, 8_080, { count: 8 });
    expect(countAnswers(answers)).toEqual({ [`c ${ADDRESS.a}`]: 8 });
    // Two were not refused. On a busy machine some of the others may wait for a retransmission by TCP.
    const [, , fastestRefused = RETRANSMISSION_MS] = answers.map(({ ms }) => ms).toSorted((a, b) => a - b);
    expect(fastestRefused).toBeLessThan(RETRANSMISSION_MS);
    expect(kernelConnections()).toBe(8);
    // A refused and retried connection counts once.
    const [listener] = (await ingress.stats(deadline())).listeners;
    expect(listener?.total).toBe(8);
    expect(listener?.retried).toBeGreaterThanOrEqual(6);
  });

  it("has clients retransmit at once when their endpoint is removed, drained or suspect", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    // A host that has just served: its MAC address is known, so packets are sent to it and lost.
    await apply(ingress, publishedListener(8_080, [B, C]));
    await network.connectRepeatedly("client", ADDRESS.a, 8_080, { count: 2 });
    network.disconnect("b");
    cleanup.add(() => network.reconnect("b"));
    const remove = (): Promise<void> => apply(ingress, publishedListener(8_080, [C]));
    const drain = (): Promise<void> => apply(ingress, publishedListener(8_080, [C], { draining: [B] }));
    // A task that died, while its host has others.
    const drainOne = (): Promise<void> =>
      apply(ingress, publishedListener(8_080, [{ ...C, node: "b" }], { draining: [B] }));
    const suspect = (): Promise<void> => ingress.setSuspectNodes(["b"], deadline());
    for (const [change, place] of [
      [remove, "client"],
      [drain, "client"],
      [drainOne, "client"],
      [suspect, "client"],
      [remove, "a"],
      [remove, "c1"],
    ] as const) {
      await eventuallyPasses(async () => {
        await apply(ingress, publishedListener(8_080, [B, C]));
        await ingress.setSuspectNodes([], deadline());
        forgetConnections();
        const pending = network.connectRepeatedly(place, ADDRESS.a, 8_080, { count: 8, parallel: 8 });
        const before = [await untilUnanswered(4), notMarkedAsAnswered()];
        await change();
        const answers = await pending;
        expect(before).toEqual([4, 4]);
        expect(countAnswers(answers)).toEqual({ [`c ${ADDRESS.a}`]: 8 });
        // Repeated when a busy machine takes longer than a retransmission between two steps.
        expect(Math.max(...answers.map(({ ms }) => ms))).toBeLessThan(RETRANSMISSION_MS);
      });
    }
    const [listener] = (await ingress.stats(deadline())).listeners;
    expect(listener?.retried).toBeGreaterThanOrEqual(6 * 4);
  });

  it("connects clients before TCP's retransmission when two endpoints die one after the other", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    const other = remoteEndpoint("b", 8_002, "b2");
    await apply(ingress, publishedListener(8_080, [B, other, C]));
    await network.connectRepeatedly("client", ADDRESS.a, 8_080, { count: 3 });
    network.disconnect("b");
    cleanup.add(() => network.reconnect("b"));
    await eventuallyPasses(async () => {
      await apply(ingress, publishedListener(8_080, [B, other, C]));
      forgetConnections();
      const pending = network.connectRepeatedly("client", ADDRESS.a, 8_080, { count: 30, parallel: 30 });
      const before = [await untilUnanswered(20)];
      // Linux retransmits a SYN early only once: what was sent to the first must not go to the other one.
      await apply(ingress, publishedListener(8_080, [other, C]));
      await sleep(CHALLENGE_ACKS_MS);
      before.push(await untilUnanswered(10, "--orig-src", CLIENT));
      await apply(ingress, publishedListener(8_080, [C]));
      const answers = await pending;
      expect(before).toEqual([20, 10]);
      expect(countAnswers(answers)).toEqual({ [`c ${ADDRESS.a}`]: 30 });
      // Repeated when a busy machine takes longer than a retransmission between two steps.
      expect(Math.max(...answers.map(({ ms }) => ms))).toBeLessThan(RETRANSMISSION_MS);
    });
  });

  it("retries with another endpoint when one does not answer, without an error for the client", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    network.disconnect("c");
    cleanup.add(() => network.reconnect("c"));
    await apply(ingress, publishedListener(8_080, [B, C]));
    for (const answer of await network.connectRepeatedly("client", ADDRESS.a, 8_080, { count: 4 })) {
      expect(answer.text).toBe(`b ${ADDRESS.a}`);
    }
    // A client on the host itself, and a container without a server on the port.
    await apply(ingress, publishedListener(8_080, [localEndpoint("c1", 81), B]));
    for (const place of ["a", "client"] as const) {
      for (const answer of await network.connectRepeatedly(place, ADDRESS.a, 8_080, { count: 2 })) {
        expect(answer.text).toBe(`b ${ADDRESS.a}`);
      }
    }
  });

  it("leaves a listener to the ingress process while it uses a policy that the kernel does not support", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    const traffic = { proxyProtocol: false, affinity: "none", balance: "least-connections" } as const;
    await apply(ingress, publishedListener(8_080, [B], { traffic }));
    expect(countAnswers(await network.connectRepeatedly("client", ADDRESS.a, 8_080, { count: 3 }))).toEqual({
      [`b ${ADDRESS.a}`]: 3,
    });
    expect(kernelConnections()).toBe(0);
    await apply(ingress, publishedListener(8_080, [B]));
    await network.connectRepeatedly("client", ADDRESS.a, 8_080, { count: 3 });
    expect(kernelConnections()).toBe(3);
  });

  it("resets connections to a listener without endpoints", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    await apply(ingress, publishedListener(8_080, []));
    expect((await network.connectRepeatedly("client", ADDRESS.a, 8_080))[0]?.text).toBe("ECONNRESET");
  });

  it("publishes a port on one address of the host", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    network.run("a", "ip", "addr", "add", "10.77.0.101/24", "dev", "eth0");
    cleanup.add(() => network.run("a", "ip", "addr", "del", "10.77.0.101/24", "dev", "eth0"));
    await apply(ingress, publishedListener(8_080, [B], { address: "10.77.0.101" }));
    expect((await network.connectRepeatedly("client", "10.77.0.101", 8_080))[0]?.text).toBe(`b ${ADDRESS.a}`);
    expect((await network.connectRepeatedly("client", ADDRESS.a, 8_080))[0]?.text).toBe("ECONNREFUSED");
    expect(kernelConnections()).toBe(1);
  });

  it("does not redirect a port that another program uses", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    await network.startServer("a", 8_090, "tcp", "other");
    cleanup.add(() => network.closeServer("a", 8_090));
    await expect(apply(ingress, publishedListener(8_090, [B]))).rejects.toThrow("already listens");
    expect((await network.connectRepeatedly("client", ADDRESS.a, 8_090))[0]?.text).toBe(`other ${CLIENT}`);
  });

  it("avoids endpoints on suspect nodes, unless there are no others", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    await apply(ingress, publishedListener(8_080, [B, C, C1]), publishedListener(8_081, [B]));
    await ingress.setSuspectNodes(["b"], deadline());
    const answers = countAnswers(await network.connectRepeatedly("client", ADDRESS.a, 8_080, { count: 40 }));
    expect(answers).toEqual({ [`c ${ADDRESS.a}`]: 20, [`c1 ${CLIENT}`]: 20 });
    expect(countAnswers(await network.connectRepeatedly("client", ADDRESS.a, 8_081, { count: 2 }))).toEqual({
      [`b ${ADDRESS.a}`]: 2,
    });
    await ingress.setSuspectNodes([], deadline());
    expect(
      Object.keys(countAnswers(await network.connectRepeatedly("client", ADDRESS.a, 8_080, { count: 30 }))),
    ).toHaveLength(3);
  });

  it("keeps the connections of a draining endpoint and resets those of a removed one", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    await apply(ingress, publishedListener(8_080, [B]));
    await network.call("client", "open", { connection: 1, host: ADDRESS.a, port: 8_080 });
    await apply(ingress, publishedListener(8_080, [C], { draining: [B] }));
    expect(await network.call("client", "say", { connection: 1, text: "still" })).toEqual({ text: "still" });
    network.disconnect("b");
    cleanup.add(() => network.reconnect("b"));
    await apply(ingress, publishedListener(8_080, [C]));
    await eventuallyPasses(async () => {
      const said = await network.call("client", "say", { connection: 1, text: "x", timeoutMs: 300 });
      expect(said).toMatchObject({ end: "ECONNRESET" });
    });
  });

  it("serves IPv6 clients through the ingress process over IPv4 endpoints", async () => {
    const address = "fd77::1";
    for (const [place, own] of [
      ["a", address],
      ["client", "fd77::9"],
    ] as const) {
      const addressArgs = ["dev", "eth0", `${own}/64`];
      network.run(place, "ip", "addr", "add", ...addressArgs, "nodad");
      cleanup.add(() => network.run(place, "ip", "addr", "del", ...addressArgs));
    }
    const ingress = await startKernelIngress(network, cleanup);
    const own = { ...localEndpoint("c1", 80), address: ADDRESS.c1, port: 80 };
    await apply(
      ingress,
      publishedListener(8_080, [B, own]),
      publishedListener(5_353, [remoteEndpoint("b", 53)], { protocol: "udp" }),
    );
    expect(countAnswers(await network.connectRepeatedly("client", address, 8_080, { count: 4 }))).toEqual({
      [`b ${ADDRESS.a}`]: 2,
      "c1 172.30.0.1": 2,
    });
    expect(await network.sendDatagram("client", address, 5_353)).toBe(`b ${ADDRESS.a}`);
    expect(kernelConnections()).toBe(0);
  });

  it("keeps idle and half-closed connections, however short the host's conntrack timeouts are", async () => {
    const timeouts = ["established", "close_wait", "fin_wait"].map(
      (name) => `nf_conntrack_tcp_timeout_${name}`,
    );
    const before = timeouts.map((name) => network.run("a", "sysctl", "-n", `net.netfilter.${name}`).trim());
    const setAll = (values: readonly string[]): void => {
      for (const [index, name] of timeouts.entries())
        network.run("a", "sysctl", "-qw", `net.netfilter.${name}=${values[index]}`);
    };
    cleanup.add(() => setAll(before));
    setAll(timeouts.map(() => String(CONNTRACK_TIMEOUT_S)));
    for (const place of ["b", "c1"] as const) {
      await network.call(place, "serve", { protocol: "tcp", port: 8_090, name: place, thinkMs: IDLE_MS });
      cleanup.add(() => network.closeServer(place, 8_090));
    }
    // As another host reaches an endpoint on this one: through Docker's DNAT instead of berth's table.
    const docker = ["-t nat", "PREROUTING", "-p tcp --dport 32001 -j DNAT --to-destination 172.30.0.2:8090"];
    const forward = ["-t filter", "FORWARD", "-o br0 -p tcp --dport 8090 -j ACCEPT"];
    for (const [table, chain, rule] of [docker, forward]) {
      const change = (how: string): unknown =>
        network.run("a", "iptables", "-w", ...`${table} ${how} ${chain} ${rule}`.split(" "));
      change("-A");
      cleanup.add(() => change("-D"));
    }
    const ingress = await startKernelIngress(network, cleanup);
    await apply(ingress, publishedListener(8_080, [remoteEndpoint("b", 8_090), localEndpoint("c1", 8_090)]));
    const ports = [8_080, 8_080, 32_001];
    const open = async (connection: string, port: number): Promise<void> => {
      await network.call("client", "open", { connection, host: ADDRESS.a, port });
    };
    for (const [index, port] of ports.entries()) {
      await open(`idle${index}`, port);
      await open(`half${index}`, port);
    }
    expect(kernelConnections()).toBe(4);
    const finished = Promise.all(
      ports.map((_, index) => network.call("client", "finish", { connection: `half${index}` })),
    );
    await sleep(IDLE_MS);
    for (const index of ports.keys()) {
      const answer = await network.call("client", "say", { connection: `idle${index}`, text: "still there" });
      expect(answer).toEqual({ text: "still there" });
    }
    expect(await finished).toEqual(ports.map(() => ({ text: "thought", isWhole: true })));
  });

  it.each(["kernel", "userspace"])(
    "forwards every byte in both directions over the %s path",
    async (mode) => {
      for (const place of ["b", "c1"] as const) {
        await network.call(place, "serveCopies", { port: 8_091 });
        cleanup.add(() => network.closeServer(place, 8_091));
      }
      // The ingress process reaches a local endpoint through Docker's port. The container's address works as well.
      const own = { ...localEndpoint("c1", 8_091), address: ADDRESS.c1, port: 8_091 };
      const ingress = await startKernelIngress(network, cleanup, { mode });
      await apply(ingress, publishedListener(8_080, [remoteEndpoint("b", 8_091), own]));
      for (let connection = 0; connection < 2; connection += 1) {
        const options = { host: ADDRESS.a, port: 8_080, bytes: TRANSFER_BYTES };
        const { end, sent, there, back } = await network.call<CopyResult>("client", "copy", options);
        expect([end, there, back]).toEqual(["ended", sent, sent]);
      }
      if (mode === "kernel") expect(kernelConnections()).toBe(2);
    },
  );

  it("source affinity: picks the same endpoint for a client as the ingress process", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    const traffic = { proxyProtocol: false, affinity: "source", balance: "round-robin" } as const;
    const endpoints = [B, C, C1, C2];
    await apply(ingress, publishedListener(8_080, endpoints, { traffic }));
    for (let last = 50; last < 66; last += 1) {
      const from = `10.77.0.${last}`;
      network.run("client", "ip", "addr", "add", `${from}/24`, "dev", "eth0");
      const expected = rendezvous(bucketOf(from), endpoints)?.id;
      const answers = await network.connectRepeatedly("client", ADDRESS.a, 8_080, { count: 3, from });
      expect(answers.map(({ text }) => text.split(" ")[0])).toEqual([expected, expected, expected]);
    }
    expect(kernelConnections()).toBe(48);
  });

  it("balances UDP by flow and moves a flow when its endpoint is removed", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    const udp = { protocol: "udp" } as const;
    const [b, c, c1] = [remoteEndpoint("b", 53), remoteEndpoint("c", 53), localEndpoint("c1", 53)];
    await apply(ingress, publishedListener(5_353, [b, c, c1], udp));
    const fixed = await network.sendDatagram("client", ADDRESS.a, 5_353, 6_000);
    expect(await network.sendDatagram("client", ADDRESS.a, 5_353, 6_000)).toBe(fixed);
    const seen = new Set<string>();
    for (let flow = 0; flow < 6; flow += 1) seen.add(await network.sendDatagram("client", ADDRESS.a, 5_353));
    expect(seen).toEqual(new Set([`b ${ADDRESS.a}`, `c ${ADDRESS.a}`, `c1 ${CLIENT}`]));
    const others = [b, c, c1].filter(({ id }) => !fixed.startsWith(`${id} `));
    await apply(ingress, publishedListener(5_353, others, udp));
    await eventuallyPasses(async () => {
      const answer = await network.sendDatagram("client", ADDRESS.a, 5_353, 6_000);
      expect(others.some(({ id }) => answer.startsWith(`${id} `))).toBe(true);
    });
  });

  it("keeps connections while the ruleset is flushed, before berth restores its table", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    await apply(ingress, publishedListener(8_080, [B]), publishedListener(8_081, [C1]));
    await eventuallyPasses(() => expect(tables()).toContain("table ip berth-hooks"));
    for (const connection of [3, 4])
      await network.call("client", "open", { connection, host: ADDRESS.a, port: 8_077 + connection });
    const rules = network.run("a", "iptables-save");
    ingress.process.kill("SIGSTOP");
    const resume = (): void => void ingress.process.kill("SIGCONT");
    cleanup.add(resume);
    network.run("a", "nft", "flush", "ruleset");
    cleanup.add(() => network.run("a", "sh", "-c", `iptables-restore <<'RULES'\n${rules}RULES`));
    expect(tables()).not.toMatch(/table ip berth$/m);
    for (const connection of [3, 4]) {
      const said = await network.call("client", "say", { connection, text: "still" });
      expect(said).toEqual({ text: "still" });
    }
    resume();
    await eventuallyPasses(() => expect(tables()).toMatch(/table ip berth$/m));
  });

  it("serves while the ruleset is flushed and restores its table at once", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    await apply(ingress, publishedListener(8_080, [B, C]));
    await network.call("client", "open", { connection: 2, host: ADDRESS.a, port: 8_080 });
    const rules = network.run("a", "iptables-save");
    network.run("a", "nft", "flush", "ruleset");
    cleanup.add(() => network.run("a", "sh", "-c", `iptables-restore <<'RULES'\n${rules}RULES`));
    for (const { text } of await network.connectRepeatedly("client", ADDRESS.a, 8_080, { count: 10 })) {
      expect(text).toMatch(/^[bc] /);
    }
    await eventuallyPasses(
      () => expect(network.run("a", "nft", "list", "tables")).toContain("table ip berth"),
      NOTIFICATION_MS,
    );
    await eventuallyPasses(async () => {
      await network.connectRepeatedly("client", ADDRESS.a, 8_080);
      expect(kernelConnections()).toBeGreaterThan(0);
    });
    expect(await network.call("client", "say", { connection: 2, text: "alive" })).toEqual({ text: "alive" });
  });

  const forwarding = (): string => network.run("a", "iptables", "-S", "FORWARD");

  it("passes the FORWARD chain while Docker's chain is unhooked and after it was flushed", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    await apply(ingress, publishedListener(8_080, [C1]));
    expect(forwarding()).toContain("connmark");
    expect((await network.connectRepeatedly("client", ADDRESS.a, 8_080))[0]?.text).toBe(`c1 ${CLIENT}`);
    // As Docker does for a moment whenever it creates a network.
    network.run("a", "iptables", "-D", "FORWARD", "-j", "DOCKER-USER");
    expect((await network.connectRepeatedly("client", ADDRESS.a, 8_080, { timeoutMs: 900 }))[0]?.text).toBe(
      `c1 ${CLIENT}`,
    );
    network.run("a", "iptables", "-I", "FORWARD", "-j", "DOCKER-USER");
    network.run("a", "iptables", "-F", "DOCKER-USER");
    await eventuallyPasses(() =>
      expect(network.run("a", "iptables", "-S", "DOCKER-USER")).toContain("connmark"),
    );
    expect((await network.connectRepeatedly("client", ADDRESS.a, 8_080))[0]?.text).toBe(`c1 ${CLIENT}`);
  });

  it("keeps balancing when the ingress process is killed, until the next one applies its table", async () => {
    const first = await startKernelIngress(network, cleanup);
    await apply(first, publishedListener(8_080, [B, C]));
    first.close();
    first.process.kill("SIGKILL");
    await once(first.process, "exit");
    expect(countAnswers(await network.connectRepeatedly("client", ADDRESS.a, 8_080, { count: 4 }))).toEqual({
      [`b ${ADDRESS.a}`]: 2,
      [`c ${ADDRESS.a}`]: 2,
    });
    const second = await startKernelIngress(network, cleanup);
    await apply(second, publishedListener(8_080, [C]));
    expect(countAnswers(await network.connectRepeatedly("client", ADDRESS.a, 8_080, { count: 4 }))).toEqual({
      [`c ${ADDRESS.a}`]: 4,
    });
  });

  it("removes its rules when it is stopped", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    await apply(ingress, publishedListener(8_080, [B, C]));
    await ingress.stop(deadline());
    expect(network.run("a", "nft", "list", "tables")).not.toContain("berth");
    expect(network.run("a", "iptables", "-S")).not.toContain("connmark");
  });

  it("removes its table and exits when its data directory is deleted", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    await apply(ingress, publishedListener(8_080, [B]));
    ingress.close();
    rmSync(ingress.dataDir, { recursive: true });
    await eventuallyPasses(() => expect(network.run("a", "nft", "list", "tables")).not.toContain("berth"));
    await eventuallyPasses(() => expect(ingress.process.exitCode).toBe(0));
  });

  it("removes the table of an earlier process in userspace mode", async () => {
    network.nft("table ip berth {\n chain left {\n }\n}\n");
    const ingress = await startKernelIngress(network, cleanup, { mode: "userspace" });
    await apply(ingress, publishedListener(8_080, [B]));
    expect((await ingress.stats(deadline())).path).toEqual({
      kernel: false,
      reason: "forced by --ingress userspace",
    });
    expect(tables()).not.toMatch(/table ip berth$/m);
    expect((await network.connectRepeatedly("client", ADDRESS.a, 8_080))[0]?.text).toBe(`b ${ADDRESS.a}`);
  });

  it("keeps connections that Docker translates while the ruleset is flushed, in userspace mode", async () => {
    const rules = network.run("a", "iptables-save");
    const published = ["-t nat -A OUTPUT -p tcp --dport 32002 -j DNAT", "--to-destination 172.30.0.2:80"];
    network.run("a", "iptables", "-w", ...published.join(" ").split(" "));
    cleanup.add(() => network.run("a", "sh", "-c", `iptables-restore <<'RULES'\n${rules}RULES`));
    const ingress = await startKernelIngress(network, cleanup, { mode: "userspace" });
    await apply(ingress, publishedListener(8_080, [{ id: "c1", address: ADDRESS.a, port: 32_002 }]));
    await eventuallyPasses(() => expect(tables()).toContain("table ip berth-hooks"));
    await network.call("client", "open", { connection: 5, host: ADDRESS.a, port: 8_080 });
    network.run("a", "nft", "flush", "ruleset");
    expect(await network.call("client", "say", { connection: 5, text: "still" })).toEqual({ text: "still" });
  });
});
