import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HttpTraffic, summarizeTraffic } from "../../deploy/lab/http-traffic.js";
import type { Lab } from "../../deploy/lab/lab.js";
import type { LabServer } from "../../deploy/lab/lab-server.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import {
  CONVERGE_TIMEOUT_MS,
  createCluster,
  deploy,
  readyNodes,
  waitForReplicas,
} from "./support/cluster.js";
import { listRunning, readStartedAt } from "./support/containers.js";
import { REPLY_TIMEOUT_MS } from "./support/http.js";

const COMPOSE = `
services:
  web:
    image: hello:1
    ports: ["8080:80"]
    deploy: { replicas: 6 }
`;

interface ListedServer {
  readonly id: string;
  readonly address: string;
  readonly status: string;
  readonly etcd?: { readonly state: string };
}

describe("three hosts, each with a server, under load", () => {
  let lab: Lab;
  let traffic: HttpTraffic;
  /** When each container started, by its ID. */
  let startedAt: ReadonlyMap<string, string>;

  beforeAll(async () => {
    lab = await createCluster(3, { servers: 3 });
    expect((await deploy(lab, "shop", COMPOSE)).code).toBe(0);
    await waitForReplicas(lab, "shop_web", 6);
    startedAt = await readStarts();
    const url = `http://${lab.hosts[0]?.address}:8080/`;
    traffic = new HttpTraffic({
      url,
      perSecond: 100,
      timeoutMs: REPLY_TIMEOUT_MS,
      replicaOf: (body) => body.trim(),
    });
    traffic.start();
  });
  afterAll(async () => {
    await traffic?.stop();
    await lab?.down();
  });

  async function readStarts(): Promise<ReadonlyMap<string, string>> {
    const containers = await listRunning(lab, "shop_web");
    return new Map(
      await Promise.all(containers.map(async (each) => [each.id, await readStartedAt(lab, each)] as const)),
    );
  }

  async function berth(args: readonly string[], input?: string): Promise<string> {
    const { code, stdout, stderr } = await lab.berth(args, { ...(input !== undefined && { input }) });
    expect(code, stderr).toBe(0);
    return stdout;
  }

  async function listServers(): Promise<readonly ListedServer[]> {
    const { code, stdout } = await lab.berth(["server", "ls", "-o", "json"]);
    return code === 0 ? JSON.parse(stdout) : [];
  }

  /** Waits until exactly these servers are up and have a vote, and all nodes are ready. */
  async function waitForServers(servers: readonly LabServer[]): Promise<void> {
    const expected = servers.map(({ address }) => address).sort();
    await waitUntil(
      async () => {
        const listed = await listServers();
        const voters = listed.filter(({ status, etcd }) => status === "up" && etcd?.state === "voter");
        return (
          listed.length === voters.length &&
          JSON.stringify(voters.map(({ address }) => address).sort()) === JSON.stringify(expected) &&
          (await readyNodes(lab)).length === lab.hosts.length
        );
      },
      { what: `the servers ${expected.join(", ")} and all nodes`, timeoutMs: 2 * CONVERGE_TIMEOUT_MS },
    );
  }

  /** Creates configs until `stop` is called, which returns the names of those that were confirmed. */
  function createConfigs(prefix: string): () => Promise<readonly string[]> {
    const confirmed: string[] = [];
    let isStopped = false;
    const create = async (): Promise<void> => {
      for (let index = 0; !isStopped; index += 1) {
        const name = `${prefix}-${index}`;
        const { code } = await lab.berth(["config", "create", name, "-"], { input: name });
        if (code === 0) confirmed.push(name);
      }
    };
    const creating = create();
    return async () => {
      isStopped = true;
      await creating;
      return confirmed;
    };
  }

  async function configs(): Promise<readonly string[]> {
    const listed: readonly { readonly name: string }[] = JSON.parse(
      await berth(["config", "ls", "-o", "json"]),
    );
    return listed.map(({ name }) => name);
  }

  async function expectUndisturbed(what: string): Promise<void> {
    expect(await readStarts()).toEqual(startedAt);
    const { sent, failed, reasons } = summarizeTraffic(traffic.outcomes);
    console.info(
      `${what}: ${failed} of ${sent} requests failed, 0 of ${startedAt.size} containers restarted`,
    );
    expect(failed, JSON.stringify(reasons)).toBe(0);
  }

  test("server-replace: a server that is lost with its data is removed and replaced by command", async () => {
    const [, survivor, lost] = lab.servers;
    if (survivor === undefined || lost === undefined) throw new Error("the lab has too few servers");
    const stop = createConfigs("replace");
    await lost.destroy();
    await waitUntil(
      async () =>
        (await listServers()).some(({ address, status }) => address === lost.address && status === "down"),
      { what: "the lost server to be down", timeoutMs: CONVERGE_TIMEOUT_MS },
    );
    await berth(["server", "rm", lost.address]);
    await lost.replace(survivor);
    await waitForServers(lab.servers);
    const confirmed = await stop();
    expect(confirmed.length).toBeGreaterThan(0);
    expect(await configs()).toEqual(expect.arrayContaining([...confirmed]));
    await expectUndisturbed("server replaced");
  });

  test("server-recover: two of three servers are lost for good, and the third continues alone", async () => {
    const [survivor, ...lost] = lab.servers;
    if (survivor === undefined) throw new Error("the lab has no server");
    await berth(["secret", "create", "password", "-"], "hunter2");
    const token = (await berth(["token", "create", "--uses", "7"])).trim();
    const stop = createConfigs("recover");
    await waitUntil(async () => (await configs()).some((name) => name.startsWith("recover-")), {
      what: "a confirmed change",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
    await Promise.all(lost.map((server) => server.kill("server")));
    const confirmed = await stop();
    await survivor.kill("server");
    const { code, stderr } = await survivor.recover();
    expect(code, stderr).toBe(0);
    await survivor.startWithoutWaiting();
    await survivor.waitUntilHealthy();
    await waitForServers([survivor]);

    expect(confirmed.length).toBeGreaterThan(0);
    expect(await configs()).toEqual(expect.arrayContaining([...confirmed]));
    expect(await berth(["secret", "ls"])).toContain("password");
    const tokens: readonly { readonly usesLeft: number }[] = JSON.parse(
      await berth(["token", "ls", "-o", "json"]),
    );
    expect(token).toMatch(/^berth-node-/);
    expect(tokens.map(({ usesLeft }) => usesLeft)).toContain(7);
    await expectUndisturbed("cluster recovered");

    // With their data, the lost servers must not come back; without it, they join as new ones.
    for (const server of lost) {
      await server.startWithoutWaiting();
      await expect(server.waitUntilHealthy()).rejects.toThrow("removed");
      await server.destroy();
      await server.replace(survivor);
    }
    await waitForServers(lab.servers);
    await waitForReplicas(lab, "shop_web", 6);
    await expectUndisturbed("servers replaced");
  });
});
