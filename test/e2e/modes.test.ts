import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Lab } from "../../deploy/lab/lab.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { CONVERGE_TIMEOUT_MS, createCluster, deploy } from "./support/cluster.js";
import { listRunning } from "./support/containers.js";
import { docker, listTasks } from "./support/tasks.js";

const BUSYBOX = "/usr/bin/busybox";

/** The database becomes healthy when the test creates a file in it. The website runs on the other host. */
const SHOP = `
services:
  db:
    image: hello:1
    healthcheck: { test: ["CMD", "${BUSYBOX}", "test", "-e", "/tmp/ready"], interval: 300ms, retries: 1000 }
    deploy: { placement: { constraints: ["node.hostname == h1"] } }
  migrate:
    image: hello:1
    command: ["${BUSYBOX}", "sleep", "1"]
    depends_on: { db: { condition: service_healthy } }
    deploy: { mode: replicated-job, replicas: 3 }
  web:
    image: hello:1
    depends_on: { migrate: { condition: service_completed_successfully } }
    deploy: { placement: { constraints: ["node.hostname == h2"] } }
`;

/** Exceeds its target even on a machine with ten other busy programs. */
const LOAD = `
services:
  busy:
    image: hello:1
    command: ["${BUSYBOX}", "sh", "-c", "while :; do :; done"]
    x-berth: { autoscale: { min: 1, max: 2, target_cpu: 5 } }
`;

const FAILING = `
services:
  broken:
    image: hello:1
    command: ["${BUSYBOX}", "sh", "-c", "exit 7"]
    deploy: { mode: replicated-job, restart_policy: { condition: on-failure, max_attempts: 1 } }
`;

describe("jobs, dependencies and autoscaling", () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await createCluster(2);
  });
  afterAll(() => lab?.down());

  const states = async (service: string): Promise<readonly string[]> =>
    (await listTasks(lab, service)).map(({ state }) => state);
  const within = (what: string): { what: string; timeoutMs: number } => ({
    what,
    timeoutMs: CONVERGE_TIMEOUT_MS,
  });

  test("services start in the order of their dependencies across hosts and report what they wait for", async () => {
    const { code, stderr } = await deploy(lab, "shop", SHOP, "--detach");
    expect(code, stderr).toBe(0);
    await waitUntil(
      async () => (await listRunning(lab, "shop_db")).length === 1,
      within("the database to run"),
    );
    const messages = async (): Promise<ReadonlySet<string>> => {
      const waiting = [...(await listTasks(lab, "shop_migrate")), ...(await listTasks(lab, "shop_web"))];
      return new Set(waiting.map(({ message }) => message));
    };
    await expect
      .poll(messages)
      .toEqual(new Set(["waiting for shop_db: healthy", "waiting for shop_migrate: completed"]));

    const [db] = await listRunning(lab, "shop_db");
    await docker(lab.host("h1"), "exec", db?.id ?? "", BUSYBOX, "touch", "/tmp/ready");
    await waitUntil(
      async () => (await listRunning(lab, "shop_web")).length === 1,
      within("the website to run"),
    );
    expect((await listRunning(lab, "shop_web")).map(({ host }) => host)).toEqual(["h2"]);
    expect(await states("shop_migrate")).toEqual(["complete", "complete", "complete"]);
  });

  test("a failed job fails the deploy at once, with its exit code", async () => {
    const { code, stderr } = await deploy(lab, "broken", FAILING);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/exit code 7/);
  });

  test("autoscaling adds a replica when the CPU load is above the target", async () => {
    const { code, stderr } = await deploy(lab, "load", LOAD);
    expect(code, stderr).toBe(0);
    await waitUntil(
      async () => (await listRunning(lab, "load_busy")).length === 2,
      within("a second replica of the busy service"),
    );
  });
});
