import { execFileSync } from "node:child_process";
import { lstat, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { TaskFile, TaskFileSet } from "../../packages/agent/src/core/tasks/task-files.js";
import type { TaskFiles } from "../../packages/agent/src/files/task-files.js";
import { secretsMountPoint, TmpfsTaskFiles } from "../../packages/agent/src/files/tmpfs-task-files.js";
import { runProgram } from "../../packages/agent/src/runtime/run-program.js";
import { MemoryTaskFiles } from "../fakes/memory-task-files.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";

const { signal } = new AbortController();

/** An implementation, and how a container sees its files. */
interface Subject {
  readonly files: TaskFiles;
  readonly read: (path: string) => Promise<Omit<TaskFile, "name"> | undefined>;
  /** Returns the implementation of an agent that starts again on the same host. */
  readonly restart: () => TaskFiles;
  readonly close: () => Promise<void>;
}

function onTmpfs(): Subject {
  const directory = temporaryDirectory();
  const mountPoint = join(directory, "run/secrets");
  return {
    files: new TmpfsTaskFiles(mountPoint),
    read: async (path) => {
      const stats = await lstat(path).catch(() => undefined);
      if (stats === undefined) return undefined;
      return { content: await readFile(path), uid: stats.uid, gid: stats.gid, mode: stats.mode & 0o7777 };
    },
    restart: () => new TmpfsTaskFiles(mountPoint),
    close: async () => {
      await runProgram("umount", { args: [mountPoint], signal });
      await rm(directory, { recursive: true });
    },
  };
}

function inMemory(): Subject {
  const files = new MemoryTaskFiles();
  return {
    files,
    read: async (path) => {
      const { name: _, ...file } = files.find(path) ?? { name: "" };
      return "content" in file ? file : undefined;
    },
    restart: () => files,
    close: async () => {},
  };
}

const password: TaskFile = {
  name: "v1-0-0-400",
  content: Buffer.from("swordfish"),
  uid: 0,
  gid: 0,
  mode: 0o400,
};
const filesOf = (taskId: string, ...files: readonly TaskFile[]): TaskFileSet => ({
  taskId,
  files,
  directoryGid: 0,
});

describe.each([
  ["on a tmpfs", onTmpfs],
  ["in memory", inMemory],
])("TaskFiles %s", (_, create) => {
  let subject: Subject;
  beforeEach(() => {
    subject = create();
  });
  afterEach(() => subject.close());

  const pathOf = (taskId: string, { name }: TaskFile): string =>
    `${subject.files.directory}/${taskId}/${name}`;

  test("a file has its content, owner and mode, whatever the umask is", async () => {
    const key = {
      ...password,
      name: "v2-7-8-644",
      content: Buffer.from([0, 255, 10]),
      uid: 7,
      gid: 8,
      mode: 0o646,
    };
    const before = process.umask(0o077);
    try {
      await subject.files.write(filesOf("t1", password, key), signal);
    } finally {
      process.umask(before);
    }
    for (const file of [password, key]) {
      const { name: __, ...expected } = file;
      expect(await subject.read(pathOf("t1", file))).toEqual(expected);
    }
  });

  test("lists the tasks that have files, also for an agent that starts again", async () => {
    expect(await subject.files.list()).toEqual([]);
    await subject.files.write(filesOf("t1", password), signal);
    await subject.files.write(filesOf("t2", password), signal);
    expect([...(await subject.files.list())].sort()).toEqual(["t1", "t2"]);
    expect([...(await subject.restart().list())].sort()).toEqual(["t1", "t2"]);
  });

  test("removes the files of one task and nothing else", async () => {
    await subject.files.remove("t1");
    await subject.files.write(filesOf("t1", password), signal);
    await subject.files.write(filesOf("t2", password), signal);
    await subject.files.remove("t1");
    expect(await subject.read(pathOf("t1", password))).toBeUndefined();
    expect(await subject.read(pathOf("t2", password))).toMatchObject({ content: password.content });
    expect(await subject.files.list()).toEqual(["t2"]);
  });

  test("writes nothing after its caller has canceled", async () => {
    await expect(subject.files.write(filesOf("t1", password), AbortSignal.abort())).rejects.toThrow();
    expect(await subject.read(pathOf("t1", password))).toBeUndefined();
  });
});

describe("TmpfsTaskFiles", () => {
  let subject: Subject;
  beforeEach(() => {
    subject = onTmpfs();
  });
  afterEach(() => subject.close());

  const pathOf = ({ name }: TaskFile): string => join(subject.files.directory, "t1", name);

  test("mounts a tmpfs once, which only root can enter and which is never swapped", async () => {
    await Promise.all(["t1", "t2", "t3"].map((id) => subject.files.write(filesOf(id, password), signal)));
    await subject.restart().write(filesOf("t4", password), signal);
    const { directory } = subject.files;
    const mounts = (await readFile("/proc/self/mountinfo", "utf8"))
      .split("\n")
      .filter((line) => line.split(" ")[4] === directory);
    expect(mounts).toHaveLength(1);
    expect(mounts[0]).toMatch(/ rw,nosuid,nodev,noexec.* - tmpfs berth-secrets rw,size=\d+k,mode=700,noswap/);
    expect(subject.files.swapProblem).toBe("");
    expect((await lstat(directory)).mode & 0o7777).toBe(0o700);
    expect((await lstat(join(directory, "t1"))).mode & 0o7777).toBe(0o700);
    expect([...(await subject.files.list())].sort()).toEqual(["t1", "t2", "t3", "t4"]);
  });

  test("keeps a file that is right, and replaces one that is wrong or incomplete", async () => {
    await subject.files.write(filesOf("t1", password), signal);
    const { ino } = await lstat(pathOf(password));
    await subject.restart().write(filesOf("t1", password), signal);
    expect((await lstat(pathOf(password))).ino).toBe(ino);
    await writeFile(pathOf(password), "swordfisH");
    // An agent was killed while it wrote.
    await writeFile(`${pathOf(password)}.new`, "sword");
    await subject.restart().write(filesOf("t1", password), signal);
    expect(await readFile(pathOf(password), "utf8")).toBe("swordfish");
    expect((await lstat(pathOf(password))).ino).not.toBe(ino);
    expect(execFileSync("ls", [join(subject.files.directory, "t1")], { encoding: "utf8" })).toBe(
      `${password.name}\n`,
    );
  });

  test("a file that does not fit leaves nothing behind and says why", async () => {
    const large = { ...password, name: "v2-0-0-400", content: Buffer.alloc(64 * 1024) };
    await subject.files.write(filesOf("t1", password), signal);
    execFileSync("mount", ["-o", "remount,size=32k", subject.files.directory]);
    await expect(subject.files.write(filesOf("t1", large), signal)).rejects.toThrow(/ENOSPC/);
    expect(execFileSync("ls", [join(subject.files.directory, "t1")], { encoding: "utf8" })).toBe(
      `${password.name}\n`,
    );
  });

  test("lets the group of remapped users pass to the files", async () => {
    await subject.files.write({ ...filesOf("t1", password), directoryGid: 231_072 }, signal);
    for (const path of [subject.files.directory, join(subject.files.directory, "t1")]) {
      const { uid, gid, mode } = await lstat(path);
      expect({ uid, gid, mode: mode & 0o7777 }).toEqual({ uid: 0, gid: 231_072, mode: 0o710 });
    }
  });

  test("writes to no directory without a mount, and mounts without noswap on older kernels", async () => {
    const mountPoint = subject.files.directory;
    const calls: string[] = [];
    const failing = new TmpfsTaskFiles(mountPoint, async (_, { args }) => {
      calls.push(args[3] ?? "");
      return { kind: "failed", reason: "permission denied" };
    });
    await expect(failing.write(filesOf("t1", password), signal)).rejects.toThrow(
      `cannot mount a tmpfs at ${mountPoint}: permission denied`,
    );
    expect(await lstat(pathOf(password)).catch(() => undefined)).toBeUndefined();
    expect(calls).toEqual([expect.stringMatching(/noswap$/), expect.stringMatching(/size=10%$/)]);

    const old = new TmpfsTaskFiles(mountPoint, async (program, call) => {
      if (call.args[3]?.includes("noswap")) return { kind: "failed", reason: "bad option" };
      return runProgram(program, call);
    });
    await old.write(filesOf("t1", password), signal);
    expect(await readFile(pathOf(password), "utf8")).toBe("swordfish");
    // Files of a directory below the mount are not listed.
    await mkdir(join(mountPoint, "t2"));
    expect([...(await old.list())].sort()).toEqual(["t1", "t2"]);
    execFileSync("umount", [mountPoint]);
    expect(await old.list()).toEqual([]);
  });
});

test("agents with different data directories use different mount points", () => {
  expect(secretsMountPoint("/var/lib/berth/agent/")).toBe("/run/berth/secrets");
  const [one, two] = ["/srv/one", "/srv/two"].map(secretsMountPoint);
  expect(one).toMatch(/^\/run\/berth\/secrets-[0-9a-f]{8}$/);
  expect(one).not.toBe(two);
});
