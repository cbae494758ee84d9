import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HttpTraffic, summarizeTraffic } from "../../deploy/lab/http-traffic.js";
import type { Lab } from "../../deploy/lab/lab.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { UNHEALTHY_GRACE_MS } from "../../packages/agent/src/core/tasks/reconcile.js";
import { CONVERGE_TIMEOUT_MS, createCluster, deploy, waitForReplicas } from "./support/cluster.js";
import { type Container, listRunning } from "./support/containers.js";
import { fetchBodies, REPLY_TIMEOUT_MS } from "./support/http.js";
import { docker, listTasks } from "./support/tasks.js";

function web(healthcheck: string): string {
  return `
services:
  web:
    image: hello:1
    ports: ["8080:80"]
    stop_grace_period: 1s
    healthcheck: { test: ["CMD", "/usr/bin/busybox", ${healthcheck}], interval: 500ms, timeout: 2s, retries: 2 }
    deploy: { replicas: 2 }
`;
}

describe("a healthcheck", () => {
  let lab: Lab;
  let sick: Container;

  beforeAll(async () => {
    lab = await createCluster(2);
    const { code, stderr } = await deploy(lab, "shop", web(`"test", "!", "-e", "/tmp/sick"`));
    expect(code, stderr).toBe(0);
  });
  afterAll(() => lab?.down());

  const url = (): string => `http://${lab.host("h1").address}:8080/`;
  const waiting = (what: string): { what: string; timeoutMs: number } => ({
    what,
    timeoutMs: UNHEALTHY_GRACE_MS + CONVERGE_TIMEOUT_MS,
  });
  const nameOf = ({ id }: Container): string => id.slice(0, 12);

  test("takes a failing replica out of load balancing without failed requests", async () => {
    const [first, second] = await listRunning(lab, "shop_web");
    if (first === undefined || second === undefined) throw new Error("two replicas should run");
    sick = first;
    const traffic = new HttpTraffic({
      url: url(),
      perSecond: 50,
      timeoutMs: REPLY_TIMEOUT_MS,
      replicaOf: (body) => body.trim(),
    });
    traffic.start();
    try {
      await docker(lab.host(sick.host), "exec", sick.id, "/usr/bin/busybox", "touch", "/tmp/sick");
      await waitUntil(
        async () => (await listTasks(lab, "shop_web")).some(({ health }) => health === "unhealthy"),
        waiting("a replica to be shown as unhealthy"),
      );
      await waitUntil(
        async () => !(await fetchBodies(url(), 4)).join().includes(nameOf(sick)),
        waiting("the sick replica to get no requests"),
      );
    } finally {
      await traffic.stop();
    }
    expect(summarizeTraffic(traffic.outcomes)).toMatchObject({ failed: 0, reasons: [] });
    const bodies = await fetchBodies(url(), 20);
    expect(new Set(bodies)).toEqual(new Set([expect.stringContaining(nameOf(second))]));
    expect((await listRunning(lab, "shop_web")).map(({ id }) => id)).toContain(sick.id);
  });

  test("fails the deploy when it never passes, with the probe's output", async () => {
    const compose = web(`"cat", "/no/such/sign"`).replace("8080:80", "8081:80");
    await deploy(lab, "never", compose, "--detach");
    await waitUntil(
      async () => (await listTasks(lab, "never_web")).some(({ health }) => health === "unhealthy"),
      waiting("a failed probe"),
    );
    const { code, stdout, stderr } = await deploy(lab, "never", compose, "--timeout", "3s");
    expect(code).toBe(1);
    expect(stdout + stderr).toMatch(/unhealthy: .*\/no\/such\/sign/);
  });

  test("runs hooks in the container before a task counts as running, and before it is stopped", async () => {
    const shell = (script: string): string => `["/usr/bin/busybox", "sh", "-c", ${JSON.stringify(script)}]`;
    const hooks = (postStart: string): string => `
services:
  web:
    image: hello:1
    stop_grace_period: 5s
    tmpfs: ["/scratch:size=1m,uid=1000,mode=700,exec"]
    volumes: ["/tmp/hooks:/hooks"]
    post_start:
      - command: ${shell("chmod 777 /hooks")}
      - command: ${shell(postStart)}
        user: "1000"
        working_dir: /hooks
        environment: { SLOT: "{{.Task.Slot}}" }
    pre_stop:
      - command: ${shell("echo bye > /hooks/stopped; echo cannot leave; exit 4")}
    deploy: { replicas: 1, placement: { constraints: [node.hostname == h1] } }
`;
    const host = lab.host("h1");
    const fileOf = async (name: string): Promise<string> =>
      (await host.exec(["cat", `/tmp/hooks/${name}`])).stdout.trim();
    const started = "sleep 1; mount | grep /scratch > mounts; echo $$SLOT $$(pwd) $$(id -u) > started";
    const deployed = await deploy(lab, "hooks", hooks(started));
    expect(deployed.code, deployed.stderr).toBe(0);
    // The deployment waits until the task runs, so the hook has ended.
    expect(await fileOf("started")).toBe("1 /hooks 1000");
    expect(await fileOf("mounts")).toMatch(/mode=700.*uid=1000/);
    expect(await fileOf("mounts")).not.toContain("noexec");

    const failed = await deploy(lab, "hooks", hooks("echo no database; exit 3"), "--timeout", "30s");
    expect(failed.code).toBe(1);
    expect(failed.stdout + failed.stderr).toMatch(/post_start hook ".*" ended with exit code 3: no database/);
    // The update replaces the first task.
    const updated = await deploy(lab, "hooks", hooks("true"));
    expect(updated.code, updated.stderr).toBe(0);
    await waitUntil(
      async () =>
        (await listTasks(lab, "hooks_web")).some(({ message }) =>
          /^stopped; pre_stop hook ".*" ended with exit code 4: cannot leave$/.test(message),
        ),
      waiting("the reason to name the failed pre_stop hook"),
    );
    expect(await fileOf("stopped")).toBe("bye");
  });

  // Last, since the other tests run during the grace period of the sick replica.
  test("replaces a replica that stays unhealthy, with the reason", async () => {
    await waitUntil(
      async () => !(await listRunning(lab, "shop_web")).some(({ id }) => id === sick.id),
      waiting("the sick replica to be stopped"),
    );
    await waitForReplicas(lab, "shop_web", 2);
    expect(await listTasks(lab, "shop_web")).toContainEqual(
      expect.objectContaining({
        state: "failed",
        message: expect.stringMatching(/^stayed unhealthy for 30 s/),
      }),
    );
    await waitUntil(
      async () => new Set(await fetchBodies(url(), 4)).size === 2,
      waiting("both replicas to answer"),
    );
  });
});
