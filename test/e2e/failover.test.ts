import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HttpTraffic, summarize } from "../../deploy/lab/http-traffic.js";
import type { Lab } from "../../deploy/lab/lab.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import {
  CONVERGE_TIMEOUT_MS,
  createCluster,
  deploy,
  readyNodes,
  waitForReplicas,
} from "./support/cluster.js";
import { listContainers, listRunning, readStartedAt } from "./support/containers.js";

const REPLICAS = 6;
const COMPOSE = `
services:
  web:
    image: hello:1
    ports: ["8080:80"]
    stop_grace_period: 1s
    deploy: { replicas: ${REPLICAS} }
`;

describe("the loss of a host", () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await createCluster(3);
    expect((await deploy(lab, "shop", COMPOSE)).code).toBe(0);
  });
  afterAll(() => lab?.down());

  async function untilReady(hosts: number): Promise<void> {
    await waitUntil(async () => (await readyNodes(lab)).length === hosts, {
      what: `${hosts} ready nodes`,
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
  }

  /** Runs `fault` under constant traffic to h1 and returns the summary of the requests. */
  async function underTraffic(fault: () => Promise<void>): Promise<ReturnType<typeof summarize>> {
    const traffic = new HttpTraffic({
      url: `http://${lab.host("h1").address}:8080/`,
      perSecond: 50,
      replicaOf: (body) => body.trim(),
    });
    traffic.start();
    try {
      await fault();
    } finally {
      await traffic.stop();
    }
    return summarize(traffic.outcomes);
  }

  test("a power cut moves replicas to other hosts and fails only requests in flight on the dead host", async () => {
    const summary = await underTraffic(async () => {
      await lab.host("h3").kill();
      await waitForReplicas(lab, "shop_web", REPLICAS);
    });
    expect(summary.sent).toBeGreaterThan(50);
    // A request in flight on the killed host is lost with it.
    expect(summary.failed, JSON.stringify(summary.reasons)).toBeLessThanOrEqual(1);
    expect(await readyNodes(lab)).toEqual(["h1", "h2"]);
  });

  test("a returned host removes its old containers without restarting any other container", async () => {
    const before = await listRunning(lab, "shop_web");
    await lab.host("h3").start();
    await untilReady(3);
    await waitUntil(async () => (await listContainers(lab)).every(({ host }) => host !== "h3"), {
      what: "the old containers of h3 to be removed",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
    expect(await listRunning(lab, "shop_web")).toEqual(before);
  });

  test("every slot runs once after a partition of a host has healed", async () => {
    expect((await lab.berth(["service", "scale", `shop_web=${REPLICAS + 3}`])).code).toBe(0);
    const summary = await underTraffic(async () => {
      await lab.host("h3").partition();
      await waitUntil(async () => (await readyNodes(lab)).length === 2, {
        what: "h3 to be down",
        timeoutMs: CONVERGE_TIMEOUT_MS,
      });
    });
    expect(summary.failed, JSON.stringify(summary.reasons)).toBeLessThanOrEqual(1);
    await lab.host("h3").heal();
    await untilReady(3);
    await waitForReplicas(lab, "shop_web", REPLICAS + 3);
  });

  test("the last host runs all replicas when two of three hosts fail at once", async () => {
    await Promise.all([lab.host("h2").kill(), lab.host("h3").kill()]);
    await waitForReplicas(lab, "shop_web", REPLICAS + 3);
    await Promise.all([lab.host("h2").start(), lab.host("h3").start()]);
    await untilReady(3);
    await waitForReplicas(lab, "shop_web", REPLICAS + 3);
  });

  test("a restarted agent adopts its containers", async () => {
    const before = await Promise.all(
      (await listRunning(lab, "shop_web")).map((container) => readStartedAt(lab, container)),
    );
    await lab.host("h1").killProcess("agent");
    await lab.host("h1").startAgent();
    await untilReady(3);
    await waitForReplicas(lab, "shop_web", REPLICAS + 3);
    const after = await Promise.all(
      (await listRunning(lab, "shop_web")).map((container) => readStartedAt(lab, container)),
    );
    expect(after.sort()).toEqual(before.sort());
  });
});
