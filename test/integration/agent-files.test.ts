import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type AssignedFile,
  type AssignedTask,
  DesiredState,
  FileKind,
  FileMount,
  Mount,
  TaskState,
} from "@berth/proto";
import { type Headers, pack } from "tar-stream";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { run } from "../../deploy/lab/run.js";
import { eventually } from "../harness/eventually.js";
import { FilesHost } from "./agent/files-host.js";
import { specOf, taskOf } from "./agent/specs.js";

const PASSWORD = "correct-horse-battery-staple";
const password: AssignedFile = { id: "v1", content: Buffer.from(PASSWORD), isTemplate: false };
const settings: AssignedFile = {
  id: "v2",
  content: Buffer.from("slot={{.Task.Slot}} of {{ .Service.Name }} {{.Other}}\n"),
  isTemplate: true,
};
const FILES = [
  {
    kind: FileKind.SECRET,
    name: "shop_password",
    versionId: "v1",
    target: "/run/secrets/password",
    uid: "7",
    gid: "8",
    mode: 0o400,
  },
  {
    kind: FileKind.SECRET,
    name: "shop_password",
    versionId: "v1",
    target: "/etc/copy",
    uid: "0",
    gid: "0",
    mode: 0o444,
  },
  {
    kind: FileKind.CONFIG,
    name: "shop_settings",
    versionId: "v2",
    target: "/etc/app.conf",
    uid: "0",
    gid: "0",
    mode: 0o444,
  },
].map((file) => FileMount.fromPartial(file));

const spec = specOf({ container: { files: FILES } });
const files = [password, settings];

type ArchiveEntry = Headers & { readonly content?: string };

const OWNER = { uid: 7, gid: 8 };
const SHIPPED: readonly ArchiveEntry[] = [
  { name: "shipped/", type: "directory", mode: 0o755, ...OWNER },
  { name: "shipped/run", mode: 0o4750, content: "echo ran", ...OWNER },
  { name: "shipped/link", type: "symlink", linkname: "run", ...OWNER },
];

async function* archiveOf(entries: readonly ArchiveEntry[]): AsyncGenerator<Uint8Array> {
  const archive = pack();
  for (const { content, ...header } of entries) archive.entry(header, content ?? "");
  archive.finalize();
  for await (const chunk of archive) yield chunk as Uint8Array;
}

function shippedMounts(digest: string): Mount[] {
  const kind = { $case: "shipped" as const, value: { digest, source: "./app" } };
  return [
    Mount.fromPartial({ target: "/app", kind }),
    Mount.fromPartial({ target: "/read-only", readOnly: true, kind }),
  ];
}

describe("an agent with secrets and configs", () => {
  let host: FilesHost;

  beforeAll(async () => {
    // At this level, the agent logs every step.
    vi.stubEnv("BERTH_LOG_LEVEL", "debug");
    host = await FilesHost.start();
  });
  beforeEach(async () => {
    host.leader.sendComplete([], []);
    await eventually("no file is left", async () => (await host.listFiles()).length === 0);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await host?.close();
  });

  /** Starts a task and returns its container. */
  async function startTask(): Promise<{ readonly task: AssignedTask; readonly containerId: string }> {
    const task = taskOf(spec);
    host.leader.sendComplete([spec], [task], { files });
    const { containerId } = await host.waitForState(task.id, TaskState.RUNNING);
    return { task, containerId };
  }

  const startedAt = (containerId: string): Promise<string> =>
    host.docker.docker("inspect", "-f", "{{.State.StartedAt}} {{.State.Status}}", containerId);

  test("a container has its secrets and configs with their owners and modes, and cannot change them", async () => {
    const { containerId } = await startTask();
    expect(await host.exec(containerId, "cat", "/run/secrets/password", "/etc/copy")).toBe(
      PASSWORD + PASSWORD,
    );
    expect(await host.exec(containerId, "cat", "/etc/app.conf")).toBe("slot=1 of shop_web {{.Other}}");
    const stat = await host.exec(
      containerId,
      "stat",
      "-c",
      "%u:%g %a %F",
      "/run/secrets/password",
      "/etc/copy",
      "/etc/app.conf",
    );
    expect(stat.split("\n")).toEqual([
      "7:8 400 regular file",
      "0:0 444 regular file",
      "0:0 444 regular file",
    ]);
    await expect(host.exec(containerId, "sh", "-c", "echo x > /etc/app.conf")).rejects.toThrow(/Read-only/);
    await expect(host.exec(containerId, "rm", "/etc/app.conf")).rejects.toThrow(/busy/);
  });

  test("secret-search: a secret is in no output of Docker, in no layer, in no log and on no disk", async () => {
    const { task, containerId } = await startTask();
    const inspected = await host.docker.docker("inspect", containerId);
    expect(inspected).toContain(`${host.filesDirectory}/${task.id}/v1-7-8-400`);
    expect(inspected).not.toContain(PASSWORD);
    await host.docker.docker("commit", containerId, "committed:test");
    await host.docker.docker("save", "-o", join(host.directory, "image.tar"), "committed:test");
    await host.docker.docker("export", "-o", join(host.directory, "container.tar"), containerId);
    await host.docker.docker("rmi", "committed:test");
    const isIn = async (...paths: readonly string[]): Promise<string> =>
      (await run(["grep", "--recursive", "--files-with-matches", "--text", PASSWORD, ...paths])).stdout;
    expect(await isIn(host.directory)).toBe("");
    // The host's disk: Docker's data, /etc and all logs.
    const { dataDir, logDir } = host.docker.paths;
    expect(await isIn(dataDir, logDir)).toBe("");
    // The same search finds the secret in the host's memory.
    const { stdout } = await host.docker.host.exec([
      "grep",
      "--recursive",
      "--files-with-matches",
      PASSWORD,
      host.filesDirectory,
    ]);
    expect(stdout.split("\n").filter((line) => line !== "")).toHaveLength(2);
    expect(JSON.stringify(host.leader.history)).not.toContain(PASSWORD);
    expect(await readFile(join(host.directory, "agent.log"), "utf8")).toContain('"step":"write-files"');
  });

  test("each task has a copy of a shipped directory with its owners, modes and links, which goes with the task", async () => {
    const digest = await host.storeShipped(archiveOf(SHIPPED));
    const shippedSpec = specOf({ container: { mounts: shippedMounts(digest) } });
    const tasks = [taskOf(shippedSpec), taskOf(shippedSpec)];
    host.leader.sendComplete([shippedSpec], tasks);
    const ids = await Promise.all(
      tasks.map(async ({ id }) => (await host.waitForState(id, TaskState.RUNNING)).containerId),
    );
    const [first = "", second = ""] = ids;
    expect(await host.exec(first, "stat", "-c", "%u:%g %a %F", "/app", "/app/run", "/app/link")).toBe(
      "7:8 755 directory\n7:8 4750 regular file\n7:8 777 symbolic link",
    );
    await host.exec(first, "sh", "-c", "echo changed > /app/run");
    expect([await host.exec(first, "cat", "/app/run"), await host.exec(second, "cat", "/app/run")]).toEqual([
      "changed",
      "echo ran",
    ]);
    await expect(host.exec(first, "sh", "-c", "echo x > /read-only/run")).rejects.toThrow(/Read-only/);
    host.leader.sendComplete([], []);
    await eventually("no copy is left", async () => (await host.listCopies()).length === 0);
  });

  test("an archive whose root is a link to a file of the host rejects the task", async () => {
    const link = { name: "shipped", type: "symlink", linkname: "/etc/shadow" } as const;
    const digest = await host.storeShipped(archiveOf([link]));
    const hostile = specOf({ container: { mounts: shippedMounts(digest) } });
    const task = taskOf(hostile);
    host.leader.sendComplete([hostile], [task]);
    const { message } = await host.waitForState(task.id, TaskState.REJECTED);
    expect(message).toBe(
      "cannot get the shipped mount ./app: the root of a shipped mount's archive is neither a file nor a directory",
    );
  });

  test("a secret in an environment variable is only in the container's configuration", async () => {
    const value = "battery-staple-in-the-environment";
    const mount = { kind: FileKind.SECRET, name: "shop_password", versionId: "v3", env: "PGPASSWORD" };
    const withVariable = specOf({ container: { files: [FileMount.fromPartial(mount)] } });
    const task = taskOf(withVariable);
    const file = { id: "v3", content: Buffer.from(`${value}\n`), isTemplate: false };
    host.leader.sendComplete([withVariable], [task], { files: [file] });
    const { containerId } = await host.waitForState(task.id, TaskState.RUNNING);
    expect(await host.exec(containerId, "sh", "-c", 'echo "[$PGPASSWORD]"')).toBe(`[${value}]`);
    const inspect = (format: string): Promise<string> =>
      host.docker.docker("inspect", "-f", format, containerId);
    expect(await inspect("{{json .Config.Env}}")).toContain(value);
    expect(await inspect("{{json .Config.Labels}} {{json .HostConfig}}")).not.toContain(value);
    expect(await host.listFiles()).toEqual([]);
    expect(JSON.stringify(host.leader.history)).not.toContain(value);
    const { stdout } = await run([
      "grep",
      "--recursive",
      "--files-with-matches",
      "--text",
      value,
      host.directory,
    ]);
    expect(stdout).toBe("");
    // A restarted agent keeps the container, also before the leader has sent the content again.
    await host.agent.kill();
    await host.startAgent();
    host.leader.sendComplete([withVariable], [task], { files: [] });
    expect((await host.waitForState(task.id, TaskState.RUNNING)).containerId).toBe(containerId);
  });

  test("a task waits for a secret that the leader has not sent, and starts when it arrives", async () => {
    const task = taskOf(spec);
    host.leader.sendComplete([spec], [task], { files: [settings] });
    await eventually("the task waits", () =>
      host.leader.reports
        .get(task.id)
        ?.status?.message.includes("waiting for the leader to send secret shop_password"),
    );
    // The container of the test before is removed meanwhile.
    await eventually("no container exists", async () => (await host.docker.docker("ps", "-aq")) === "");
    host.leader.sendIncrement({ files: [password] });
    const { containerId } = await host.waitForState(task.id, TaskState.RUNNING);
    expect(await host.exec(containerId, "cat", "/run/secrets/password")).toBe(PASSWORD);
  });

  test("files go with their container, and only after it", async () => {
    const { task } = await startTask();
    expect(await host.listFiles()).toHaveLength(3);
    host.leader.sendIncrement({
      tasks: [{ ...task, desiredState: DesiredState.SHUTDOWN }],
      removedFileIds: ["v1", "v2"],
    });
    await host.waitForState(task.id, TaskState.SHUTDOWN);
    expect(await host.listFiles()).toHaveLength(3);
    host.leader.sendIncrement({ tasks: [{ ...task, desiredState: DesiredState.REMOVE }] });
    await eventually("the agent reports the removal", () => host.leader.reports.get(task.id)?.removed);
    const { stdout } = await host.docker.host.exec(["ls", "-A", host.filesDirectory]);
    expect(stdout).toBe("");
  });

  test("secret-agent-down: an agent that was killed restarts no container and keeps the files until a complete set", async () => {
    const { task, containerId } = await startTask();
    const before = [await startedAt(containerId), await host.listFiles()];
    await host.agent.kill();
    // Files of a task that has ended meanwhile.
    await host.docker.host.exec([
      "cp",
      "--recursive",
      `${host.filesDirectory}/${task.id}`,
      `${host.filesDirectory}/ended`,
    ]);
    await host.startAgent();
    await sleep(500);
    expect(await host.listFiles()).toHaveLength(6);
    host.leader.sendComplete([spec], [task], { files });
    await host.waitForState(task.id, TaskState.RUNNING);
    await eventually(
      "the files without a task are removed",
      async () => (await host.listFiles()).length === 3,
    );
    expect([await startedAt(containerId), await host.listFiles()]).toEqual(before);
  });

  test("every container has its files although the agent is killed repeatedly while it starts them", async () => {
    const tasks = Array.from({ length: 6 }, (_, index) => taskOf(spec, { slot: index + 1 }));
    const assignAll = (): void => host.leader.sendComplete([spec], tasks, { files });
    for (let round = 0; round < 4; round += 1) {
      assignAll();
      // Any moment is correct. Different delays interrupt the agent at different steps.
      await sleep(100 + 150 * round);
      await host.agent.kill();
      await host.startAgent();
    }
    assignAll();
    for (const { id, slot } of tasks) {
      const { containerId } = await host.waitForState(id, TaskState.RUNNING);
      expect(await host.exec(containerId, "cat", "/run/secrets/password")).toBe(PASSWORD);
      expect(await host.exec(containerId, "cat", "/etc/app.conf")).toContain(`slot=${slot} `);
    }
    expect(await host.docker.docker("ps", "-aq")).not.toBe("");
    expect((await host.docker.docker("ps", "-aq")).split("\n")).toHaveLength(tasks.length);
  });

  test("secret-reboot: a container that is restarted by hand has its files, and none starts without them after a reboot", async () => {
    const { task, containerId } = await startTask();
    // An agent would stop the container again: its task has ended.
    await host.agent.kill();
    await host.docker.docker("restart", "-t", "1", containerId);
    expect(await host.exec(containerId, "cat", "/run/secrets/password")).toBe(PASSWORD);
    await host.docker.host.kill();
    await host.docker.host.start();
    expect(await host.listFiles()).toEqual([]);
    // Docker has not started it, and cannot.
    expect(await startedAt(containerId)).toMatch(/exited$/);
    await expect(host.docker.docker("start", containerId)).rejects.toThrow(/bind source path does not exist/);
    await host.docker.host.killProcess("dockerd", "SIGTERM");
    await eventually("dockerd has stopped", () => host.docker.host.processes("dockerd").length === 0);
    await host.docker.host.startDockerd();
    expect(await startedAt(containerId)).toMatch(/exited$/);

    await host.startAgent();
    const next = taskOf(spec);
    host.leader.sendComplete([spec], [task, next], { files });
    await host.waitForState(task.id, TaskState.FAILED);
    const { containerId: nextId } = await host.waitForState(next.id, TaskState.RUNNING);
    expect(await host.exec(nextId, "cat", "/run/secrets/password")).toBe(PASSWORD);
  });

  test("an agent in another mount namespace than Docker starts no container and says why", async () => {
    await host.agent.kill();
    await host.docker.host.exec(["umount", host.filesDirectory]);
    // As under systemd with PrivateMounts=yes.
    await host.startAgent(["unshare", "--mount"]);
    const task = taskOf(spec);
    host.leader.sendComplete([spec], [task], { files });
    const { message } = await host.waitForState(task.id, TaskState.REJECTED);
    expect(message).toMatch(
      /bind source path does not exist: .*; Docker and the agent must run in the same mount/,
    );
    await host.agent.kill();
    await host.startAgent();
  });
});

describe("an agent whose Docker remaps users", () => {
  let host: FilesHost;
  beforeAll(async () => {
    host = await FilesHost.start({ "userns-remap": "default" });
    // With a mount below /proc, the kernel refuses another proc in a user namespace.
    await host.docker.host.exec(["umount", "/proc/sys/kernel/random/boot_id"]);
  });
  afterAll(() => host?.close());

  test("a container sees the owner of its secret, and can read it", async () => {
    const task = taskOf(spec);
    host.leader.sendComplete([spec], [task], { files });
    const { containerId } = await host.waitForState(task.id, TaskState.RUNNING);
    expect(await host.exec(containerId, "stat", "-c", "%u:%g %a", "/run/secrets/password")).toBe("7:8 400");
    const read = ["exec", "--user", "7", containerId, "busybox", "cat", "/run/secrets/password"];
    expect(await host.docker.docker(...read)).toBe(PASSWORD);
    const [file = ""] = (await host.listFiles()).filter((path) => path.endsWith("v1-7-8-400"));
    const { stdout } = await host.docker.host.exec(["stat", "-c", "%u", file]);
    expect(Number(stdout)).toBeGreaterThan(1_000);
  });

  test("a container sees the owner of shipped files, and can read them", async () => {
    const digest = await host.storeShipped(archiveOf(SHIPPED));
    const shippedSpec = specOf({ container: { mounts: shippedMounts(digest) } });
    const task = taskOf(shippedSpec);
    host.leader.sendComplete([shippedSpec], [task]);
    const { containerId } = await host.waitForState(task.id, TaskState.RUNNING);
    expect(await host.exec(containerId, "stat", "-c", "%u:%g", "/app/run")).toBe("7:8");
    const read = ["exec", "--user", "7", containerId, "busybox", "cat", "/app/run"];
    expect(await host.docker.docker(...read)).toBe("echo ran");
  });
});
