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
/** Answers with the name of its container and the address that it was asked from. */
const SERVE = [
  "sh",
  "-c",
  `busybox mkdir -p /www/cgi-bin
   { echo '#!/bin/sh'; echo 'echo "Content-Type: text/plain"; echo; echo "$(hostname) $REMOTE_ADDR"'; } > /www/cgi-bin/who
   busybox chmod +x /www/cgi-bin/who
   exec busybox httpd -f -p ${PORT} -h /www`,
];

describe("a virtual IP over two hosts", () => {
  let lab: Lab;
  let hosts: NetworkHost[];
  let first: NetworkHost;
  let balancers: VipBalancer[];
  let tasks: { readonly id: string; readonly address: string; readonly host: NetworkHost }[];

  beforeAll(async () => {
    lab = await createLab({ name: testLabName(), hosts: 2, berth: false });
    await importBusybox(lab.hosts.map(({ dockerSocket }) => dockerSocket));
    hosts = lab.hosts.map((_, index) => new NetworkHost(lab, index));
    for (const host of hosts) {
      await host.start();
      host.keeper.setNetworks([host.assignmentOf(SHOP, hosts)], { isComplete: true });
    }
    for (const host of hosts) await host.waitUntilReady("shop");
    [first] = hosts as [NetworkHost];
    balancers = hosts.map((host) => new VipBalancer(pino({ level: "silent" }), host.runProgram));
    tasks = [];
    for (const [host, name] of hosts.flatMap((host) => [
      [host, `a-${host.name}`] as const,
      [host, `b-${host.name}`] as const,
    ])) {
      const address = await host.startContainer("shop_default", name, SERVE);
      const id = (await host.docker("inspect", "-f", "{{.Config.Hostname}}", name)).trim();
      tasks.push({ id, address, host });
      host.keeper.containerChanged();
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
  /** "container address": who answered, and where it saw the question come from. */
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

  test("leads to all tasks in turn, also to the one that asks, with the asker's address", async () => {
    await serve(tasks);
    await eventually("all answer", async () =>
      (await askTimes("a-h1", 1)).every((one) => !one.startsWith("failed")),
    );
    const answers = await askTimes("a-h1", 2 * tasks.length);
    const own = tasks[0];
    const expected = tasks.map(({ id }) => `${id} ${id === own?.id ? "10.64.1.1" : own?.address}`);
    expect(answers.toSorted()).toEqual([...expected, ...expected].toSorted());
  });

  test("leaves out a task as soon as the table does, and counts on over it", async () => {
    const others = tasks.slice(1);
    const counted = async (): Promise<number> => (await balancers[0]?.connections())?.get(VIP) ?? 0;
    const before = await counted();
    expect(before).toBeGreaterThanOrEqual(2 * tasks.length);
    await serve(others);
    const answers = await askTimes("a-h1", 2 * others.length);
    expect(new Set(answers.map((answer) => answer.split(" ")[0]))).toEqual(
      new Set(others.map(({ id }) => id)),
    );
    expect(await counted()).toBe(before + answers.length);
  });

  test("leads all connections of an address to the task that every host works out, where it shall", async () => {
    await serve(tasks, [], TrafficSpec_Affinity.SOURCE);
    const [asker] = tasks;
    const members = tasks.map((task) => ({ id: task.address, name: task.id }));
    const expected = rendezvous(bucketOf(asker?.address ?? ""), members)?.name;
    const answers = await askTimes("a-h1", 6);
    expect(new Set(answers.map((answer) => answer.split(" ")[0]))).toEqual(new Set([expected]));
  });

  test("refuses at once while nobody is there, and never leads to programs of the host", async () => {
    await serve([]);
    expect(await ask("a-h1")).toBe("refused");
    await serve(tasks);
    expect(await ask("a-h1")).not.toBe("refused");
  });

  test("keeps what a draining task has, and resets what a vanished one had", async () => {
    const last = tasks.at(-1);
    if (last === undefined) throw new Error("no task");
    await last.host.docker("exec", "-d", last.id, "sh", "-c", "busybox sleep 60 | busybox nc -l -p 9001");
    await eventually("the port is open", async () =>
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
    await eventually("they talk", async () => (await flows()).includes("ESTABLISHED"));
    await serve(tasks.slice(0, 1), [last]);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(isOver).toBe(false);
    await serve(tasks.slice(0, 1));
    await talking;
  });

  test("is asked for on the own host alone: its hardware address is the own bridge's", async () => {
    await ask("b-h1");
    const neighbours = await first.docker("exec", "b-h1", "busybox", "ip", "neigh", "show", VIP);
    const bridge = await first.run("cat", "/proc/net/arp");
    const own = await first.run("ip", "-br", "link", "show", "bth4097");
    const [, hardware = ""] = /lladdr ([0-9a-f:]+)/.exec(neighbours) ?? [];
    expect(own, bridge).toContain(hardware);
  });

  test("is back within seconds when somebody flushes all rules, and leaves nothing at its end", async () => {
    await first.run("nft", "delete", "table", "ip", "berth-vips");
    await eventually("it is back", async () =>
      (await first.run("nft", "list", "tables")).includes("ip berth-vips"),
    );
    await balancers[0]?.close({ isLast: true });
    expect(await first.run("nft", "list", "tables")).not.toContain("berth-vips");
    expect(await first.run("ip", "-4", "address", "show", "dev", "bth4097")).not.toContain(VIP);
  });
});
