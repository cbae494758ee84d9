import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createLab, type Lab } from "../../deploy/lab/lab.js";
import { testLabName } from "../../deploy/lab/lab-state.js";
import { networkWith } from "../../packages/agent/src/core/networks/testing.js";
import { bucketOf, rendezvous } from "../../packages/agent/src/dataplane/balancing/rendezvous.js";
import { parseDnsConfig } from "../../packages/agent/src/dataplane/messages/dns-messages.js";
import { VipBalancer } from "../../packages/agent/src/dataplane/vips/vip-balancer.js";
import { dnsConfigOf } from "../../packages/agent/src/dataplane-client/dns-table.js";
import { DnsEntry, TrafficSpec_Affinity } from "../../proto/src/index.js";
import { eventually } from "../harness/eventually.js";
import { importBusybox } from "./agent/busybox-image.js";
import { NetworkHost } from "./agent/network-host.js";

const SHOP = networkWith({ id: "shop", vni: 4097, subnet: "10.64.0.0/16", spec: { name: "shop_default" } });
const VIP = "10.64.200.1";
const PORT = "8080";
/** Serves the name of its container and the client's address. */
const SERVE = [
  "sh",
  "-c",
  `busybox mkdir -p /www/cgi-bin
   { echo '#!/bin/sh'; echo 'echo "Content-Type: text/plain"; echo; echo "$(hostname) $REMOTE_ADDR"'; } > /www/cgi-bin/who
   busybox chmod +x /www/cgi-bin/who
   exec busybox httpd -f -p ${PORT} -h /www`,
];

describe("a virtual IP on two hosts", () => {
  let lab: Lab;
  let hosts: NetworkHost[];
  let first: NetworkHost;
  let balancers: VipBalancer[];
  let tasks: { readonly id: string; readonly address: string; readonly host: NetworkHost }[];

  beforeAll(async () => {
    lab = await createLab({ name: testLabName(), hosts: 2, hasBerth: false });
    await importBusybox(lab.hosts.map(({ dockerSocket }) => dockerSocket));
    hosts = lab.hosts.map((_, index) => new NetworkHost(lab, index));
    for (const host of hosts) {
      await host.start();
      host.reconciler.setNetworks([host.assignmentOf(SHOP, hosts)], { isComplete: true });
    }
    for (const host of hosts) await host.waitUntilReady("shop");
    [first] = hosts as [NetworkHost];
    balancers = hosts.map(
      (host) => new VipBalancer({ log: pino({ level: "silent" }), run: host.runProgram }),
    );
    tasks = [];
    for (const [host, name] of hosts.flatMap((host) => [
      [host, `a-${host.name}`] as const,
      [host, `b-${host.name}`] as const,
    ])) {
      const address = await host.startContainer("shop_default", name, SERVE);
      const id = (await host.docker("inspect", "-f", "{{.Config.Hostname}}", name)).trim();
      tasks.push({ id, address, host });
      host.reconciler.containerStarted();
    }
  });
  afterAll(async () => {
    for (const balancer of balancers ?? []) await balancer.close({ isLast: false });
    for (const host of hosts ?? []) await host.close();
    await lab?.down();
  });

  const serve = async (
    picked: typeof tasks,
    draining: typeof tasks = [],
    affinity: TrafficSpec_Affinity = TrafficSpec_Affinity.NONE,
  ): Promise<void> => {
    const endpoint = ({ id, address, host }: (typeof tasks)[number]) => {
      return { taskId: id, nodeId: host.name, address, slot: 1 };
    };
    const entry = DnsEntry.fromPartial({
      key: "shop/api",
      networkId: "shop",
      names: ["api"],
      vip: VIP,
      affinity,
      endpoints: picked.map(endpoint),
      draining: draining.map(endpoint),
    });
    for (const [at, host] of hosts.entries()) {
      const networks = [host.assignmentOf(SHOP, hosts)];
      await balancers[at]?.update(parseDnsConfig(dnsConfigOf({ networks, entries: [entry], tasks: [] })));
      expect(balancers[at]?.isActive(VIP)).toBe(true);
    }
  };
  /** Returns "CONTAINER ADDRESS": the container that answered and the client address that it saw. */
  const ask = async (container: string): Promise<string> => {
    const request = `busybox printf 'GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 4 ${VIP} ${PORT} 2>&1 || true`;
    const answer = await first.docker("exec", container, "sh", "-c", request).catch(String);
    const [, id, address] = /(\w+) \[::ffff:([\d.]+)\]/.exec(answer) ?? [];
    if (id !== undefined) return `${id} ${address}`;
    return /refused/.test(answer) ? "refused" : `failed: ${answer}`;
  };
  const askTimes = async (container: string, times: number): Promise<readonly string[]> => {
    const answers: string[] = [];
    for (let time = 0; time < times; time += 1) answers.push(await ask(container));
    return answers;
  };

  test("balances over all tasks (including the client itself) and keeps the client's address", async () => {
    await serve(tasks);
    await eventually("all tasks answer", async () => {
      const replies = await askTimes("a-h1", tasks.length);
      return replies.every((one) => one !== "refused" && !one.startsWith("failed"));
    });
    const answers = await askTimes("a-h1", 2 * tasks.length);
    const own = tasks[0];
    const expected = tasks.map(({ id }) => `${id} ${id === own?.id ? "10.64.1.1" : own?.address}`);
    expect(answers.toSorted()).toEqual([...expected, ...expected].toSorted());
  });

  test("sends no connection to a removed task and keeps its connection count", async () => {
    const others = tasks.slice(1);
    const counted = async (): Promise<number> =>
      (await balancers[0]?.connections())?.get(VIP)?.connections ?? 0;
    const before = await counted();
    expect(before).toBeGreaterThanOrEqual(2 * tasks.length);
    await serve(others);
    const answers = await askTimes("a-h1", 2 * others.length);
    expect(new Set(answers.map((answer) => answer.split(" ")[0]))).toEqual(
      new Set(others.map(({ id }) => id)),
    );
    expect(await counted()).toBe(before + answers.length);
  });

  test("source affinity: sends all connections of a client to the task that each host computes", async () => {
    await serve(tasks, [], TrafficSpec_Affinity.SOURCE);
    const [client] = tasks;
    const members = tasks.map((task) => ({ id: task.address, name: task.id }));
    const expected = rendezvous(bucketOf(client?.address ?? ""), members)?.name;
    const answers = await askTimes("a-h1", 6);
    expect(new Set(answers.map((answer) => answer.split(" ")[0]))).toEqual(new Set([expected]));
  });

  test("refuses connections at once while the service has no task", async () => {
    await serve([]);
    expect(await ask("a-h1")).toBe("refused");
    await serve(tasks);
    expect(await ask("a-h1")).not.toBe("refused");
  });

  test("keeps the connections of a draining task and resets those of a removed one", async () => {
    const last = tasks.at(-1);
    if (last === undefined) throw new Error("no task");
    await last.host.docker("exec", "-d", last.id, "sh", "-c", "busybox sleep 60 | busybox nc -l -p 9001");
    await eventually("the task listens", async () =>
      (await last.host.docker("exec", last.id, "busybox", "netstat", "-lnt")).includes(":9001 "),
    );
    await serve([last]);
    const talk = `{ while busybox sleep 0.1; do echo x; done; } | busybox nc ${VIP} 9001`;
    let isOver = false;
    const talking = first
      .docker("exec", "a-h1", "sh", "-c", talk)
      .catch(() => "")
      .then(() => (isOver = true));
    const flows = (): Promise<string> => first.run("conntrack", "-L", "--orig-dst", VIP, "-p", "tcp");
    await eventually("the connection is established", async () => (await flows()).includes("ESTABLISHED"));
    await serve(tasks.slice(0, 1), [last]);
    // The client sends every 100 ms, so a reset would have ended it by now.
    await sleep(1_000);
    expect(isOver).toBe(false);
    await serve(tasks.slice(0, 1));
    await talking;
  });

  test("resolves to the MAC address of the bridge on the client's host", async () => {
    await ask("b-h1");
    const neighbors = await first.docker("exec", "b-h1", "busybox", "ip", "neigh", "show", VIP);
    const bridge = await first.run("cat", "/proc/net/arp");
    const own = await first.run("ip", "-br", "link", "show", "bth4097");
    const [, hardware = ""] = /lladdr ([0-9a-f:]+)/.exec(neighbors) ?? [];
    expect(own, bridge).toContain(hardware);
  });

  test("its nftables table is restored after a deletion and removed when the balancer closes", async () => {
    await first.run("nft", "delete", "table", "ip", "berth-vips");
    await eventually("the table is restored", async () =>
      (await first.run("nft", "list", "tables")).includes("ip berth-vips"),
    );
    await balancers[0]?.close({ isLast: true });
    expect(await first.run("nft", "list", "tables")).not.toContain("berth-vips");
    expect(await first.run("ip", "-4", "address", "show", "dev", "bth4097")).not.toContain(VIP);
  });
});
