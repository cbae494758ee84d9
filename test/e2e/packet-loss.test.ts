import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Lab } from "../../deploy/lab/lab.js";
import { createCluster, deploy, readyNodes, waitForReplicas } from "./support/cluster.js";
import { listRunning } from "./support/containers.js";
import { fetchBodies } from "./support/http.js";

const PORT = 8_104;
const COMPOSE = `
services:
  web:
    image: hello:1
    ports: ["${PORT}:80"]
    stop_grace_period: 1s
    deploy: { replicas: 3, placement: { max_replicas_per_node: 1 } }
`;
const TABLE = "test-loss";
const LOSSY_MS = 5_000;
/** The leader suspects a node within 0.5 s and marks it down within about 1 s, so a wrong reaction shows by then. */
const FAULT_MS = 2_500;
const STOPPED_MS = 2_000;

describe("a cluster with packet loss", () => {
  let lab: Lab;
  let containers: readonly string[];

  beforeAll(async () => {
    lab = await createCluster(3);
    const { code, stdout, stderr } = await deploy(lab, "shop", COMPOSE);
    expect(code, stdout + stderr).toBe(0);
    await waitForReplicas(lab, "shop_web", 3);
    containers = await runningIds();
  });
  afterAll(() => lab?.down());

  const runningIds = async (): Promise<readonly string[]> =>
    (await listRunning(lab, "shop_web")).map(({ id }) => id).sort();

  /** Drops incoming packets of a machine that match an nft expression. Undefined removes the rule. */
  async function drop(machine: Pick<Lab["serverMachine"], "exec">, rule: string | undefined): Promise<void> {
    const chain = `chain in { type filter hook prerouting priority -350; policy accept; ${rule} drop\n }`;
    const table = rule === undefined ? "" : `table ip ${TABLE} { ${chain}\n }`;
    const script = `table ip ${TABLE} {}\ndelete table ip ${TABLE}\n${table}\n`;
    const { code, stderr } = await machine.exec(["nft", "-f", "-"], { input: script });
    expect(code, stderr).toBe(0);
  }

  /** Drops this percentage of all packets between the machines. */
  async function lose(percent: number): Promise<void> {
    const addresses = [lab.serverMachine, ...lab.hosts].map(({ address }) => address).join(", ");
    const rule = `ip saddr { ${addresses} } iifname != "lo" numgen random mod 100 < ${percent}`;
    for (const machine of [lab.serverMachine, ...lab.hosts])
      await drop(machine, percent > 0 ? rule : undefined);
  }

  /** Returns the number of suspicions, by the leader and by the agents. */
  async function suspicions(): Promise<number> {
    const metrics = await lab.serverMachine.readMetrics();
    const [, byLeader = "none"] = /^berth_node_suspicions_total (\d+)/m.exec(metrics) ?? [];
    const logs = await Promise.all(lab.hosts.map((host) => readFile(host.logs.agent, "utf8")));
    const byAgents = logs.join("").match(/peer is silent/g)?.length ?? 0;
    return Number(byLeader) + byAgents;
  }

  async function expectUnchanged(): Promise<void> {
    expect(await runningIds()).toEqual(containers);
    expect([...(await readyNodes(lab))].sort()).toEqual(["h1", "h2", "h3"]);
  }

  test("suspects no node at 5 percent loss", async () => {
    const before = await suspicions();
    await lose(5);
    await sleep(LOSSY_MS);
    expect(await suspicions()).toBe(before);
    await expectUnchanged();
  });

  test("replaces no task at 19 percent loss", async () => {
    await lose(19);
    await sleep(LOSSY_MS);
    await lose(0);
    await expectUnchanged();
  });

  test("replaces no task when one host does not receive packets of another", async () => {
    await drop(lab.host("h1"), `ip saddr ${lab.host("h2").address}`);
    await sleep(FAULT_MS);
    await expectUnchanged();
    // h1 sends no new connections to h2, so clients of h1 reach the other replicas without delay.
    expect(new Set(await fetchBodies(`http://${lab.host("h1").address}:${PORT}`, 6)).size).toBe(2);
    await drop(lab.host("h1"), undefined);
  });

  test("suspects no node when its agent is frozen for two seconds", async () => {
    await sleep(1_000);
    const before = await suspicions();
    await lab.host("h2").killProcess("agent", "SIGSTOP");
    await sleep(STOPPED_MS);
    await lab.host("h2").killProcess("agent", "SIGCONT");
    await sleep(1_000);
    expect(await suspicions()).toBe(before);
    await expectUnchanged();
  });
});
