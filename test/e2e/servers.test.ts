import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { failuresSince, HttpTraffic } from "../../deploy/lab/http-traffic.js";
import type { Lab } from "../../deploy/lab/lab.js";
import type { LabHost } from "../../deploy/lab/lab-host.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import {
  CONVERGE_TIMEOUT_MS,
  createCluster,
  deploy,
  readyNodes,
  waitForReplicas,
} from "./support/cluster.js";
import { REPLY_TIMEOUT_MS } from "./support/http.js";

const REPLICAS = 6;
const COMPOSE = `
services:
  web:
    image: hello:1
    ports: ["8080:80"]
    stop_grace_period: 1s
    deploy: { replicas: ${REPLICAS} }
`;

describe("three hosts, each with a server and its etcd", () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await createCluster(3, { servers: 3 });
    expect((await deploy(lab, "shop", COMPOSE)).code).toBe(0);
  });
  afterAll(() => lab?.down());

  function waitForLeader(matches: (host: LabHost) => boolean): Promise<LabHost> {
    return waitUntil(
      async () => {
        const host = await lab.leaderHost();
        return host !== undefined && matches(host) && host;
      },
      { what: "a leader", timeoutMs: CONVERGE_TIMEOUT_MS },
    );
  }

  async function waitForAllServers(): Promise<void> {
    await waitUntil(async () => (await readyNodes(lab)).length === 3, {
      what: "three ready nodes",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
    await Promise.all(lab.servers.map((server) => server.waitUntilHealthy()));
  }

  /** Scales the service through any server that answers. */
  async function scale(replicas: number): Promise<void> {
    const { code, stderr } = await lab.berth(["service", "scale", `shop_web=${replicas}`]);
    expect(code, stderr).toBe(0);
    await waitForReplicas(lab, "shop_web", replicas);
  }

  test("a power cut of the leader's host elects a new leader and fails only requests in flight on the host", async () => {
    const leader = await waitForLeader(() => true);
    const asked = lab.hosts.find((host) => host !== leader);
    const traffic = new HttpTraffic({
      url: `http://${asked?.address}:8080/`,
      perSecond: 100,
      timeoutMs: REPLY_TIMEOUT_MS,
      replicaOf: (body) => body.trim(),
    });
    traffic.start();
    let diedMs = Number.POSITIVE_INFINITY;
    try {
      await leader.kill();
      diedMs = performance.now();
      await waitForLeader((host) => host !== leader);
      await waitForReplicas(lab, "shop_web", REPLICAS);
    } finally {
      await traffic.stop();
    }
    expect(traffic.outcomes.length).toBeGreaterThan(100);
    // Requests in flight on the killed host are lost with it. A busy machine has more of them.
    expect(failuresSince(traffic.outcomes, diedMs)).toEqual([]);
    await scale(REPLICAS + 1);
  });

  test("the server and etcd of a returned host rejoin the cluster", async () => {
    const lost = lab.hosts.find((host) => !host.isUp);
    await lost?.start();
    await waitForAllServers();
    expect(await lost?.server?.health()).toMatchObject({ status: "ok", role: "follower" });
    await waitForReplicas(lab, "shop_web", REPLICAS + 1);
  });

  test("a killed leader process is replaced by another leader", async () => {
    const leader = await waitForLeader(() => true);
    await leader.server?.kill("server");
    await waitForLeader((host) => host !== leader);
    await scale(REPLICAS);
    await leader.server?.startWithoutWaiting();
    await waitForAllServers();
  });

  test("a leader that gets SIGTERM hands over without failed calls", async () => {
    const leader = await waitForLeader(() => true);
    const asking = Array.from({ length: 5 }, () => lab.berth(["service", "ls"]));
    await leader.server?.kill("server", "SIGTERM");
    for (const { code, stderr } of await Promise.all(asking)) expect(code, stderr).toBe(0);
    await waitForLeader((host) => host !== leader);
    await waitUntil(() => leader.server?.processes("server").length === 0, {
      what: "the former leader to exit",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
    await leader.server?.startWithoutWaiting();
    await waitForAllServers();
  });

  test("a leader that is frozen beyond its lease is replaced and does not lead again when it resumes", async () => {
    const leader = await waitForLeader(() => true);
    await leader.server?.kill("server", "SIGSTOP");
    const next = await waitForLeader((host) => host !== leader);
    await leader.server?.kill("server", "SIGCONT");
    await waitForAllServers();
    expect((await lab.leaderHost())?.name).toBe(next.name);
    await scale(REPLICAS + 1);
  });
});
