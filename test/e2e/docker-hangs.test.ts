import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Lab } from "../../deploy/lab/lab.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { CONVERGE_TIMEOUT_MS, createCluster, deploy, waitForReplicas } from "./support/cluster.js";
import { type Container, listRunning, readStartedAt } from "./support/containers.js";
import { fetchBodies } from "./support/http.js";
import { docker, listProblems, listTasks } from "./support/tasks.js";

const HANG_MS = 10_000;

function hello(replicas: number): string {
  return `
services:
  web:
    image: hello:1
    ports: ["8080:80"]
    stop_grace_period: 1s
    deploy: { replicas: ${replicas} }
`;
}

describe("a Docker daemon that hangs in the middle of a deploy", () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await createCluster(2);
    expect((await deploy(lab, "shop", hello(4))).code).toBe(0);
  });
  afterAll(() => lab?.down());

  /** Returns the start times of containers. A container that was restarted has another one. */
  const startsOf = (containers: readonly Container[]): Promise<readonly string[]> =>
    Promise.all(containers.map((container) => readStartedAt(lab, container)));

  test("the node reports the hang, keeps serving and completes the deploy after it", async () => {
    const before = await listRunning(lab, "shop_web");
    const startedBefore = await startsOf(before);
    const host = lab.host("h2");
    const deploying = deploy(lab, "shop", hello(8), "--detach");
    await delay(150);
    await host.killProcess("dockerd", "SIGSTOP");
    try {
      const hangsUntilMs = Date.now() + HANG_MS;
      expect((await deploying).code).toBe(0);
      await waitUntil(async () => (await listProblems(lab, "h2")).length > 0, {
        what: "the node to report that Docker hangs",
        timeoutMs: CONVERGE_TIMEOUT_MS,
      });
      expect(await listProblems(lab, "h2")).toEqual([
        expect.stringMatching(/^Docker has not responded since .*Z: /),
      ]);
      const names = before.filter(({ host }) => host === "h2").map(({ id }) => id.slice(0, 12));
      const bodies = (await fetchBodies(`http://${host.address}:8080/`, 20)).join();
      expect(names.filter((name) => !bodies.includes(name))).toEqual([]);
      await delay(Math.max(0, hangsUntilMs - Date.now()));
    } finally {
      await host.killProcess("dockerd", "SIGCONT");
    }
    await waitForReplicas(lab, "shop_web", 8);
    await waitUntil(async () => (await listProblems(lab, "h2")).length === 0, {
      what: "the node to report no problems",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
    expect(await startsOf(before)).toEqual(startedBefore);
  });

  test("a replica that dies during the hang gets no new connections and is replaced after the hang", async () => {
    const host = lab.host("h2");
    const [replica] = (await listRunning(lab, "shop_web")).filter(({ host }) => host === "h2");
    if (replica === undefined) throw new Error("h2 runs no replica");
    const processId = await docker(host, "inspect", "--format", "{{.State.Pid}}", replica.id);
    await host.killProcess("dockerd", "SIGSTOP");
    try {
      await host.exec(["kill", "-9", processId]);
      const seen = async (): Promise<boolean> =>
        (await listTasks(lab, "shop_web")).some(
          ({ containerId, state, health }) =>
            containerId === replica.id && state === "running" && health === "unhealthy",
        );
      await waitUntil(seen, {
        what: "the agent to detect the replica's end",
        timeoutMs: CONVERGE_TIMEOUT_MS,
      });
    } finally {
      await host.killProcess("dockerd", "SIGCONT");
    }
    const isGone = async (): Promise<boolean> =>
      (await listRunning(lab, "shop_web")).every(({ id }) => id !== replica.id);
    await waitUntil(isGone, { what: "Docker to report the replica's end", timeoutMs: CONVERGE_TIMEOUT_MS });
    await waitForReplicas(lab, "shop_web", 8);
  });
});
