import { mkdir, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { BERTH_PATH, cliCommand, SERVER_PORT, serverCommand } from "../../deploy/lab/berth-commands.js";
import type { Lab } from "../../deploy/lab/lab.js";
import type { LabMachine } from "../../deploy/lab/lab-machine.js";
import { labPaths } from "../../deploy/lab/paths.js";
import type { RunResult } from "../../deploy/lab/run.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { CONVERGE_TIMEOUT_MS, createCluster, deploy, readyNodes } from "./support/cluster.js";
import { listContainers, listRunning, readStartedAt } from "./support/containers.js";

const IDLE = '["/usr/bin/busybox", "sh", "-c", "trap \'exit 0\' TERM; while :; do sleep 1; done"]';
const IDLE_REPLICAS = 58;
const COMPOSE = `
services:
  web:
    image: hello:1
    ports: ["8080:80"]
    deploy: { replicas: 2 }
  idle:
    image: hello:1
    command: ${IDLE}
    stop_grace_period: 1s
    secrets: [password]
    deploy: { replicas: ${IDLE_REPLICAS}, update_config: { parallelism: 30, monitor: 1s } }
secrets: { password: { environment: PASSWORD } }
`;
const LATE = `
services:
  worker: { image: "hello:1", command: ${IDLE}, stop_grace_period: 1s }
`;
const ALL_CONTAINERS = IDLE_REPLICAS + 2;
const RESTORE_TIMEOUT_MS = 60_000;

describe("a cluster with 60 containers that loses its only server", () => {
  let lab: Lab;
  let directory: string;
  let backup: string;
  let passphrase: string;
  /** When the containers of the stack started, by their IDs. */
  let startedAt: ReadonlyMap<string, string>;

  beforeAll(async () => {
    lab = await createCluster(2);
    directory = join(labPaths(lab.name).dataDir, "backups");
    backup = join(directory, "berth.age");
    passphrase = join(directory, "passphrase");
    await mkdir(directory, { recursive: true });
    await writeFile(passphrase, "correct horse battery\n");
    vi.stubEnv("PASSWORD", "swordfish");
    const { code, stderr } = await deploy(lab, "shop", COMPOSE);
    expect(code, stderr).toBe(0);
    startedAt = await readStarts();
    expect(startedAt.size).toBe(ALL_CONTAINERS);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await lab?.down();
  });

  async function readStarts(): Promise<ReadonlyMap<string, string>> {
    const running = [...(await listRunning(lab, "shop_web")), ...(await listRunning(lab, "shop_idle"))];
    return new Map(
      await Promise.all(
        running.map(async (container) => [container.id, await readStartedAt(lab, container)] as const),
      ),
    );
  }

  /** Checks that each container still runs since its first start, and that there is no other one. */
  const requireNoRestart = async (): Promise<void> => expect(await readStarts()).toEqual(startedAt);

  async function berth(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await lab.berth(args, { timeoutMs: RESTORE_TIMEOUT_MS });
    expect(code, stderr).toBe(0);
    return stdout;
  }

  const restoreOn = (machine: LabMachine, file: string, ...args: string[]): Promise<RunResult> =>
    machine.exec(cliCommand(["backup", "restore", "--passphrase-file", passphrase, ...args, file]), {
      timeoutMs: RESTORE_TIMEOUT_MS,
    });

  const waitForNodes = (): Promise<unknown> =>
    waitUntil(async () => (await readyNodes(lab)).length === 2, {
      what: "two ready nodes",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });

  async function readRestore(...args: string[]): Promise<{
    readonly restore: { readonly state: string } | null;
    readonly missingNodes: readonly string[];
    readonly unknownTasks: readonly { readonly containerName: string }[];
  }> {
    return JSON.parse(await berth(...args, "backup", "status", "-o", "json"));
  }

  test("a backup is written once, for its owner only, and opens only with its passphrase", async () => {
    const create = ["backup", "create", "--passphrase-file", passphrase, backup];
    expect(await berth(...create)).toContain(`${ALL_CONTAINERS} tasks, 2 nodes`);
    expect((await stat(backup)).mode & 0o777).toBe(0o600);
    const again = await lab.berth(create);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain("already exists");
    await berth(...create, "--force");

    const wrong = join(directory, "wrong");
    await writeFile(wrong, "another passphrase\n");
    const inspected = await lab.berth(["backup", "inspect", "--passphrase-file", wrong, backup]);
    expect(inspected.stderr).toContain("wrong passphrase");
    expect(await berth("backup", "inspect", "--passphrase-file", passphrase, backup)).toContain("2 nodes");
    expect(await berth("audit", "--limit", "10")).toContain("with a passphrase");
  });

  test("a restore is refused beside the living cluster, and for a truncated file", async () => {
    const dataDir = join(directory, "refused");
    const machine = lab.serverMachine;
    const living = await restoreOn(machine, backup, "--data-dir", dataDir);
    expect(living).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("is running; stop all servers"),
    });
    const inUse = await restoreOn(machine, backup, "--data-dir", lab.serverMachine.berthServer.dataDir);
    expect(inUse.stderr).toContain("is in use by process");
    const truncated = join(directory, "truncated");
    await lab.serverMachine.exec(["cp", backup, truncated]);
    await truncate(truncated, (await stat(backup)).size - 100);
    const { stderr } = await restoreOn(machine, truncated, "--data-dir", dataDir);
    expect(stderr).toContain("it is damaged or truncated");
    await requireNoRestart();
  });

  test("a restore on an empty disk adopts 60 containers without a restart, and keeps those that it does not know", async () => {
    // Not in the backup.
    expect((await deploy(lab, "late", LATE)).code).toBe(0);
    await berth("secret", "create", "late_secret", passphrase);
    const [late] = await listRunning(lab, "late_worker");

    const { serverMachine } = lab;
    const { dataDir } = serverMachine.berthServer;
    await serverMachine.killProcess("server");
    await waitUntil(() => serverMachine.processes("etcd").length === 0, {
      what: "etcd to end with its server",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
    await rename(dataDir, `${dataDir}-lost`);

    const beganMs = performance.now();
    const restored = await restoreOn(serverMachine, backup, "--data-dir", dataDir);
    expect(restored.code, restored.stderr).toBe(0);
    const restoredMs = performance.now();
    await serverMachine.startServer();
    await waitForNodes();
    const haveReported = async (): Promise<boolean> => {
      const { missingNodes, unknownTasks } = await readRestore();
      return missingNodes.length === 0 && unknownTasks.length === 1;
    };
    await waitUntil(haveReported, {
      what: "the reports of both nodes, with the unknown container",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
    const endedMs = performance.now();
    console.log(
      `restored in ${seconds(restoredMs - beganMs)} s, all nodes ready ${seconds(endedMs - restoredMs)} s later; ` +
        `${ALL_CONTAINERS} containers, 0 restarts`,
    );
    await requireNoRestart();
    const status = await readRestore();
    expect(status).toMatchObject({ restore: { state: "pending" }, missingNodes: [] });
    expect(status.unknownTasks[0]?.containerName).toContain("late_worker");
    expect((await listRunning(lab, "late_worker")).map(({ id }) => id)).toEqual([late?.id]);
    const page = await fetch(`http://${lab.hosts[0]?.address}:8080/`, { signal: AbortSignal.timeout(5_000) });
    expect(page.status).toBe(200);
  });

  test("deployments, secrets, users and the CA work after the restore", async () => {
    const [unknown] = await listRunning(lab, "late_worker");
    // On the host of the unknown container, the task waits for a network of the same name.
    const { code, stderr } = await deploy(lab, "late", LATE, "--detach");
    expect(code, stderr).toBe(0);
    expect((await listRunning(lab, "late_worker")).map(({ id }) => id)).toContain(unknown?.id);
    expect(await berth("backup", "complete")).toContain("1 unknown container");
    const isReplaced = async (): Promise<boolean> => {
      const [container, ...others] = await listRunning(lab, "late_worker");
      return container !== undefined && container.id !== unknown?.id && others.length === 0;
    };
    await waitUntil(isReplaced, { what: "the unknown container to go", timeoutMs: CONVERGE_TIMEOUT_MS });
    expect((await readRestore()).restore?.state).toBe("complete");
    await requireNoRestart();

    expect(await berth("secret", "ls", "-q")).not.toContain("late_secret");
    await berth("secret", "create", "late_secret", passphrase);
    await berth("user", "invite", "-q", "alice", "--role", "viewer");
    expect(await berth("ca", "rotate")).toContain("2 of 2 connected nodes renewed");
    await berth("backup", "create", "--passphrase-file", passphrase, "--force", backup);
    await requireNoRestart();
  });

  test("a restore at another address adopts the containers, and agents refuse the server from before it", async () => {
    const [host, other] = lab.hosts;
    if (host === undefined || other === undefined) throw new Error("the lab has no hosts");
    const former = lab.serverMachine.berthServer;
    await lab.serverMachine.killProcess("server");
    const dataDir = join(directory, "second");
    const restored = await restoreOn(host, backup, "--data-dir", dataDir);
    expect(restored.code, restored.stderr).toBe(0);
    const command = serverCommand({ berthPath: BERTH_PATH, address: host.address, dataDir });
    await host.exec(["sh", "-c", 'setsid "$@" </dev/null >"$0" 2>&1 &', join(directory, "log"), ...command]);
    const address = `${host.address}:${SERVER_PORT}`;
    const moved = ["--server", address];
    for (const each of lab.hosts) {
      await each.killProcess("agent");
      each.extraAgentArgs = ["--server", address];
      await each.startAgent();
    }
    await waitUntil(
      async () => (await lab.berth([...moved, "backup", "status"])).stdout.includes("complete"),
      {
        what: "the restore to complete by itself",
        timeoutMs: CONVERGE_TIMEOUT_MS,
      },
    );
    await requireNoRestart();

    // The server from before the restore returns, and one agent knows it first.
    await lab.serverMachine.startServer();
    await other.killProcess("agent");
    other.extraAgentArgs = ["--server", `${former.address},${address}`];
    await other.startAgent();
    const hasRefused = async (): Promise<boolean> =>
      (await other.exec(["tail", "-n", "50", other.logs.agent])).stdout.includes(
        "was restored from a backup",
      );
    await waitUntil(hasRefused, {
      what: "the agent to refuse the server from before the restore",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
    await waitUntil(
      async () => {
        const { stdout } = await lab.berth([...moved, "node", "ls", "-o", "json"]);
        return stdout.split('"ready"').length === 3 || stdout.split('"Ready"').length === 3;
      },
      { what: "both nodes at the restored server", timeoutMs: CONVERGE_TIMEOUT_MS },
    );
    await requireNoRestart();
    expect((await listContainers(lab)).filter(({ running }) => running)).toHaveLength(ALL_CONTAINERS + 1);
    await rm(backup);
  });
});

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}
