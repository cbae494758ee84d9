import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { DnsTable } from "../../packages/agent/src/dataplane/dns/dns-table.js";
import { eventuallyPasses } from "../harness/eventually.js";
import { Cleanup, deadline } from "./ingress-harness.js";
import { countAnswers, type KernelIngress, startKernelIngress } from "./kernel/kernel-ingress.js";
import { ADDRESS, TestNetwork } from "./kernel/test-network.js";

const cleanup = new Cleanup();
let network: TestNetwork;
const [GATEWAY, VIP, BRIDGE] = ["10.64.1.1", "10.64.0.2", "bth4097"];

beforeAll(async () => {
  network = await TestNetwork.create();
  network.run("a", "ip", "link", "add", BRIDGE, "type", "bridge");
  network.run("a", "ip", "address", "add", `${GATEWAY}/18`, "dev", BRIDGE);
  network.run("a", "ip", "link", "set", BRIDGE, "up");
  for (const host of ["b", "c"] as const) {
    network.run(host, "ip", "route", "add", "10.64.0.0/18", "via", ADDRESS.a);
  }
  await network.startServer("b", 8_001);
  await network.startServer("c", 8_001);
  await network.startServer("c", 8_002);
});
afterAll(() => network.dispose());
afterEach(() => cleanup.run());

/** When TCP retransmits an unanswered SYN. */
const RETRANSMISSION_MS = 1_000;

/** The virtual IP of a service with one task on each of these hosts. */
function tableOf(hosts: readonly ("b" | "c")[], holdMs = 0): DnsTable {
  return {
    networks: [
      {
        id: "n1",
        name: "shop_default",
        stack: "shop",
        subnet: "10.64.0.0/18",
        gateway: GATEWAY,
        bridge: BRIDGE,
      },
    ],
    services: [
      {
        key: "n1/api",
        networkId: "n1",
        service: "shop_api",
        stack: "shop",
        names: ["api"],
        vip: VIP,
        endpoints: hosts.map((host, at) => ({
          id: host,
          nodeId: host,
          address: ADDRESS[host],
          slot: at + 1,
        })),
        draining: [],
        holdMs,
      },
    ],
    clients: [],
  };
}

async function start(...hosts: readonly ("b" | "c")[]): Promise<KernelIngress> {
  const ingress = await startKernelIngress(network, cleanup);
  await ingress.updateDns(tableOf(hosts), deadline());
  return ingress;
}

describe("a virtual IP", () => {
  it("retries a refused connection at once with another task", async () => {
    await start("b", "c");
    // Only c serves port 8002. Each connection that starts at b is refused once.
    const answers = await network.connectRepeatedly("a", VIP, 8_002, { count: 8, from: GATEWAY });
    expect(countAnswers(answers)).toEqual({ [`c ${GATEWAY}`]: 8 });
    // Four were not refused. On a busy machine some of the others may wait for a retransmission by TCP.
    const [, , , , fastestRefused = RETRANSMISSION_MS] = answers
      .map(({ ms }) => ms)
      .toSorted((x, y) => x - y);
    expect(fastestRefused).toBeLessThan(RETRANSMISSION_MS);
  });

  it("passes on the second refusal of a connection", async () => {
    await start("b", "c");
    const answers = await network.connectRepeatedly("a", VIP, 8_003, { count: 4, from: GATEWAY });
    expect(countAnswers(answers)).toEqual({ ECONNREFUSED: 4 });
    expect(Math.min(...answers.map(({ ms }) => ms))).toBeLessThan(RETRANSMISSION_MS);
  });

  it("holds connections to any port while there is no task, and gives them to the first one", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    const update = (...hosts: readonly ("b" | "c")[]) =>
      ingress.updateDns(tableOf(hosts, 10_000), deadline());
    const held = async () => (await ingress.stats(deadline())).vips[0]?.held;
    await update();
    const clients = [8_001, 8_002].map((port) =>
      network.connectRepeatedly("a", VIP, port, { count: 3, parallel: 3, from: GATEWAY }),
    );
    await eventuallyPasses(async () => expect(await held()).toBe(6));
    await update("c");
    for (const answers of await Promise.all(clients)) {
      expect(countAnswers(answers.map(({ text, ms }) => ({ text: text.split(" ")[0] ?? "", ms })))).toEqual({
        c: 3,
      });
    }
    expect((await ingress.stats(deadline())).vips[0]).toMatchObject({ held: 0, heldTotal: 6 });
    const direct = await network.connectRepeatedly("a", VIP, 8_001, { count: 2, from: GATEWAY });
    expect(countAnswers(direct)).toEqual({ [`c ${GATEWAY}`]: 2 });
    expect((await ingress.stats(deadline())).vips[0]).toMatchObject({ heldTotal: 6 });
  });

  it("holds a connection that its only task refuses until the task accepts it", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    await ingress.updateDns(tableOf(["b"], 10_000), deadline());
    const client = network.connectRepeatedly("a", VIP, 8_005, { count: 1, from: GATEWAY });
    await eventuallyPasses(async () =>
      expect((await ingress.stats(deadline())).vips[0]).toMatchObject({ held: 1 }),
    );
    await network.startServer("b", 8_005);
    expect((await client).map(({ text }) => text.split(" ")[0])).toEqual(["b"]);
  });

  it("refuses connections when the hold has ended and other hosts' connections to the port of the process", async () => {
    const ingress = await startKernelIngress(network, cleanup);
    await ingress.updateDns(tableOf([], 300), deadline());
    const answers = await network.connectRepeatedly("a", VIP, 8_001, { count: 2, from: GATEWAY });
    expect(countAnswers(answers)).toEqual({ ECONNRESET: 2 });
    const [, port = ""] = /hold-ports \{[^}]*elements = \{ (\d+) \}/.exec(
      network.run("a", "nft", "list", "table", "ip", "berth-vips"),
    ) ?? [""];
    const outside = await network.connectRepeatedly("client", ADDRESS.a, Number(port), { count: 1 });
    expect(outside.map(({ text }) => text)).toEqual(["ECONNREFUSED"]);
  });

  it("has clients retransmit at once when the host of their task is suspect", async () => {
    const ingress = await start("b", "c");
    await network.connectRepeatedly("a", VIP, 8_001, { count: 2, from: GATEWAY });
    network.disconnect("b");
    cleanup.add(() => network.reconnect("b"));
    const unanswered = (): number =>
      network.run("a", "conntrack", "-L", "-p", "tcp", "--state", "SYN_SENT").split("\n").length - 1;
    // A busy machine may take longer than a second between two steps.
    await eventuallyPasses(async () => {
      await ingress.setSuspectNodes([], deadline());
      // An attempt that is repeated must not count connections of the one before.
      network.run("a", "conntrack", "-F");
      const asked = network.connectRepeatedly("a", VIP, 8_001, { count: 8, parallel: 8, from: GATEWAY });
      // A retransmission would answer them, and the attempt is repeated.
      await eventuallyPasses(() => expect(unanswered()).toBe(4), RETRANSMISSION_MS).catch(() => {});
      const before = unanswered();
      await ingress.setSuspectNodes(["b"], deadline());
      const answers = await asked;
      expect(before).toBe(4);
      expect(countAnswers(answers)).toEqual({ [`c ${GATEWAY}`]: 8 });
      expect(Math.max(...answers.map(({ ms }) => ms))).toBeLessThan(RETRANSMISSION_MS);
    });
  });

  it("keeps half-closed connections, however short the host's timeouts are", async () => {
    const [forgottenAfterS, thinkMs] = [1, 2_500];
    const names = ["established", "close_wait", "fin_wait"].map(
      (state) => `nf_conntrack_tcp_timeout_${state}`,
    );
    const before = names.map((name) => network.run("a", "sysctl", "-n", `net.netfilter.${name}`).trim());
    const setAll = (values: readonly string[]): void => {
      for (const [index, name] of names.entries()) {
        network.run("a", "sysctl", "-qw", `net.netfilter.${name}=${values[index]}`);
      }
    };
    cleanup.add(() => setAll(before));
    await network.call("c", "serve", { protocol: "tcp", port: 8_090, name: "c", thinkMs });
    cleanup.add(() => network.closeServer("c", 8_090));
    await start("c");
    // After the start, which raises them: only the ruleset protects the connection.
    setAll(names.map(() => String(forgottenAfterS)));
    await network.call("a", "open", { connection: "half", host: VIP, port: 8_090, from: GATEWAY });
    await network.call("a", "open", { connection: "idle", host: VIP, port: 8_090, from: GATEWAY });
    const finished = network.call("a", "finish", { connection: "half" });
    await sleep(thinkMs);
    expect(await network.call("a", "say", { connection: "idle", text: "still there" })).toEqual({
      text: "still there",
    });
    expect(await finished).toEqual({ text: "thought", isWhole: true });
  });
});
