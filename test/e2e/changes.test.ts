import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Lab } from "../../deploy/lab/lab.js";
import type { RunResult } from "../../deploy/lab/run.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { CONVERGE_TIMEOUT_MS, createCluster, deploy, waitForReplicas } from "./support/cluster.js";
import { listRunning } from "./support/containers.js";

const STACK = `
services:
  prepare:
    image: hello:1
    command: ["/usr/bin/busybox", "sh", "-c", "sleep 1; echo prepared"]
    deploy: { mode: replicated-job }
  web:
    image: hello:1
    ports: ["8080:80"]
    stop_grace_period: 2s
    depends_on: { prepare: { condition: service_completed_successfully } }
    healthcheck:
      test: ["CMD", "/usr/bin/busybox", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1/"]
      interval: 1s
      timeout: 2s
    deploy: { replicas: 4, update_config: { parallelism: 2, monitor: 1s } }
  front:
    image: hello:1
    stop_grace_period: 2s
    depends_on: { web: { condition: service_healthy, restart: true } }
    deploy: { update_config: { monitor: 1s } }
`;

describe("changes of running services", () => {
  let lab: Lab;
  let deployed: RunResult;

  beforeAll(async () => {
    lab = await createCluster(3);
    deployed = await deploy(lab, "shop", STACK);
    expect(deployed.code, deployed.stderr).toBe(0);
  });
  afterAll(() => lab?.down());

  const berth = (...args: readonly string[]): Promise<RunResult> =>
    lab.berth([...args], { timeoutMs: 120_000 });

  test("a service that depends on a job starts after the job has completed", () => {
    const lines = deployed.stdout.split("\n");
    const completed = lines.indexOf("shop_prepare: 1/1 completed");
    expect(completed).toBeGreaterThan(0);
    expect(lines.indexOf("shop_web: 4/4 running")).toBeGreaterThan(completed);
    expect(deployed.stdout).toContain("waiting for shop_prepare: completed");
  });

  test("an update replaces every replica", async () => {
    const before = (await listRunning(lab, "shop_web")).map(({ id }) => id);
    const { code, stderr } = await berth("service", "update", "--env-add", "GREETING=welcome", "shop_web");
    expect(code, stderr).toBe(0);
    await waitForReplicas(lab, "shop_web", 4);
    const after = (await listRunning(lab, "shop_web")).map(({ id }) => id);
    expect(after.filter((id) => before.includes(id))).toEqual([]);
  });

  test("a service that depends on another one with restart is replaced after an update of that one", async () => {
    await waitForReplicas(lab, "shop_front", 1);
    const [before] = await listRunning(lab, "shop_front");
    const { code, stderr } = await berth("service", "update", "--env-add", "GREETING=goodbye", "shop_web");
    expect(code, stderr).toBe(0);
    await waitUntil(
      async () => {
        const running = await listRunning(lab, "shop_front");
        return running.length === 1 && running[0]?.id !== before?.id;
      },
      { what: "shop_front to be replaced", timeoutMs: CONVERGE_TIMEOUT_MS },
    );
  });

  test("an update whose replicas crash is rolled back, with the reason", async () => {
    const before = (await listRunning(lab, "shop_web")).map(({ id }) => id).sort();
    const crash = ["--args", "/usr/bin/busybox sh -c 'echo no such setting; exit 1'"];
    const { code, stderr } = await berth("service", "update", ...crash, "shop_web");
    expect(code).toBe(1);
    expect(stderr).toContain("(BERTH_ROLLED_BACK)");
    expect(stderr).toContain("exit code 1");
    expect(stderr).toContain("Last output of shop_web: no such setting");
    await waitForReplicas(lab, "shop_web", 4);
    const after = (await listRunning(lab, "shop_web")).map(({ id }) => id);
    expect(after.filter((id) => before.includes(id)).length).toBeGreaterThanOrEqual(2);
  });

  test("node drain returns when the host runs no tasks", async () => {
    const { code, stdout, stderr } = await berth("node", "drain", "h3");
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/Drained h3: \d tasks? moved/);
    expect((await listRunning(lab, "shop_web")).filter(({ host }) => host === "h3")).toEqual([]);
    await waitForReplicas(lab, "shop_web", 4);
  });
});
