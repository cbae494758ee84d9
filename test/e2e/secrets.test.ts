import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Lab } from "../../deploy/lab/lab.js";
import { labPaths } from "../../deploy/lab/paths.js";
import { run } from "../../deploy/lab/run.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { CONVERGE_TIMEOUT_MS, createCluster, deploy } from "./support/cluster.js";
import { listContainers, listRunning } from "./support/containers.js";
import { Site } from "./support/site.js";

const PASSWORDS = ["correct-horse", "battery-staple"] as const;

const COMPOSE = `
services:
  web:
    image: hello:1
    command: ["/usr/bin/busybox", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"]
    stop_grace_period: 2s
    secrets: [{source: password, uid: "7", mode: 0400}]
    configs: [{source: slot, target: /etc/slot}]
    deploy: {replicas: 2, update_config: {order: start-first, monitor: 1s}}
secrets: {password: {environment: PASSWORD}}
configs: {slot: {content: "slot {{.Task.Slot}}", template_driver: golang}}
`;

describe("services with secrets", () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await createCluster(2);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await lab?.down();
  });

  async function deployWith(password: string): Promise<void> {
    vi.stubEnv("PASSWORD", password);
    const { code, stdout, stderr } = await deploy(lab, "shop", COMPOSE);
    expect(code, stderr).toBe(0);
    expect(`${stdout}${stderr}`).not.toContain(password);
  }

  /** Returns what the running containers read, sorted. */
  async function readAll(): Promise<readonly string[]> {
    const containers = await listRunning(lab, "shop_web");
    const read = ["cat", "/run/secrets/password", "/etc/slot"];
    const outputs = await Promise.all(
      containers.map(async ({ host, id }) => {
        const argv = ["docker", "-H", "unix:///run/docker.sock", "exec", id, "/usr/bin/busybox", ...read];
        return (await lab.host(host).exec(argv)).stdout;
      }),
    );
    return outputs.sort();
  }

  const waitForPassword = (password: string): Promise<true> =>
    waitUntil(async () => String(await readAll()) === `${password}slot 1,${password}slot 2`, {
      what: `two containers with the password ${password}`,
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });

  test("containers have the content of their version: after a deployment, an update and a rollback", async () => {
    const [first, second] = PASSWORDS;
    await deployWith(first);
    await waitForPassword(first);
    await deployWith(second);
    await waitForPassword(second);
    expect(
      (await lab.berth(["service", "rollback", "--to", "1", "shop_web"], { timeoutMs: 60_000 })).code,
    ).toBe(0);
    await waitForPassword(first);
  });

  test("secret-search: no secret is on the disk of a host or server, or in a log", async () => {
    // Docker's layers and containers, the data of etcd, of servers and of agents, and all logs.
    const { dataDir } = labPaths(lab.name);
    for (const password of PASSWORDS)
      expect(await run(["grep", "-rlaF", password, dataDir])).toMatchObject({ code: 1, stdout: "" });
  });

  test("secret-reboot: all hosts lose their power at once, and the containers get their secrets again", async () => {
    const before = await listContainers(lab);
    await Promise.all(lab.hosts.map((host) => host.kill()));
    await Promise.all(lab.hosts.map((host) => host.start()));
    await waitForPassword(PASSWORDS[0]);
    const known = new Set(before.map(({ id }) => id));
    expect((await listRunning(lab, "shop_web")).filter(({ id }) => known.has(id))).toEqual([]);
  });

  test("a shipped directory reaches the nodes that run the service, and a rollback mounts the earlier content", async () => {
    const site = await Site.create(lab);
    try {
      await site.writePage("one");
      const first = await site.deploy();
      expect(first.code, first.stderr).toBe(0);
      expect(first.stdout).toMatch(/Shipping \.\/pages \(2 files, .*\): .* sent, on h[12], h[12]\n/);
      const pages = "cat /pages/index.html; stat -c ' %a %u' /pages/sub/run.sh; readlink /pages/link";
      expect(await site.inContainers(pages)).toEqual(Array(2).fill("one 750 0\nsub/run.sh"));
      // Each task has a copy of its own. A read-only mount stays as it is.
      expect(await site.inContainers("echo $HOSTNAME >> /etc/web.conf; wc -l < /etc/web.conf")).toEqual([
        "2",
        "2",
      ]);
      expect(await site.inContainers("echo x > /pages/new")).toEqual(
        Array(2).fill(expect.stringContaining("Read-only file system")),
      );

      const again = await site.deploy();
      expect(again.stdout).toContain("Service site_web unchanged");
      expect(again.stdout).not.toContain(" sent");
      await site.writePage("two");
      const plan = await site.deploy("--dry-run");
      expect(plan.stdout).toMatch(/Would ship \.\/pages/);
      expect(plan.stdout).toContain("task.container.mounts[/pages].shipped.digest");
      const changed = await site.deploy();
      expect(changed.code, changed.stderr).toBe(0);
      expect(changed.stdout).not.toMatch(/web\.conf.* sent/);
      expect(await site.inContainers("cat /pages/index.html")).toEqual(["two", "two"]);
      // A node that has lost the archive gets it from another one.
      const [{ agentDataDir = "" } = {}] = lab.hosts;
      await rm(join(agentDataDir, "shipped"), { recursive: true });
      const rollback = await lab.berth(["service", "rollback", "site_web"], { timeoutMs: 60_000 });
      expect(rollback.code, rollback.stderr).toBe(0);
      expect(await site.inContainers("cat /pages/index.html")).toEqual(["one", "one"]);
    } finally {
      await site.remove();
    }
  });

  test("a replacement of a lost host has the shipped directory, and nothing of it stays after its stack", async () => {
    await lab.berth(["service", "scale", "site_web=1"], { timeoutMs: 60_000 });
    const [lost] = await listRunning(lab, "site_web");
    const host = lab.host(lost?.host ?? "");
    await host.kill();
    const isReplaced = async (): Promise<boolean> =>
      (await listRunning(lab, "site_web")).some((container) => container.host !== host.name);
    await waitUntil(isReplaced, { what: "the replacement", timeoutMs: CONVERGE_TIMEOUT_MS });
    await host.start();
    const listShipped = async (): Promise<string> => {
      const outputs = await Promise.all(
        lab.hosts.map(({ agentDataDir }) =>
          run(["find", join(agentDataDir, "mounts"), join(agentDataDir, "shipped"), "-mindepth", "1"]),
        ),
      );
      return outputs.map(({ stdout }) => stdout).join("");
    };
    expect(await listShipped()).toContain("/mount-0/index.html");
    const { stdout } = await lab.berth(["image", "ls"]);
    expect(stdout).toMatch(/^\.\/pages +.* site_web$/m);
    await lab.berth(["stack", "rm", "site"], { timeoutMs: 60_000 });
    const isGone = async (): Promise<boolean> => {
      await lab.berth(["image", "prune"]);
      return (await listShipped()) === "";
    };
    await waitUntil(isGone, { what: "no shipped directory on any host", timeoutMs: CONVERGE_TIMEOUT_MS });
  });

  test("no file is left on any host after the stack is removed", async () => {
    const listFiles = async (): Promise<string> => {
      const find = ["sh", "-c", "find /run/berth/secrets* -type f"];
      const outputs = await Promise.all(lab.hosts.map((host) => host.exec(find)));
      return outputs.map(({ stdout }) => stdout).join("");
    };
    // A host that was killed may have run all tasks.
    const hasFiles = async (): Promise<boolean> => (await listFiles()).includes("-7-0-400");
    await waitUntil(hasFiles, { what: "secrets on a host", timeoutMs: CONVERGE_TIMEOUT_MS });
    // The service was rolled back, which is no failure of its removal.
    const { code, stderr } = await lab.berth(["stack", "rm", "shop"]);
    expect(code, stderr).toBe(0);
    await waitUntil(async () => (await listFiles()) === "", {
      what: "no secret on any host",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
  });
});
