import { DesiredState, FileKind, type FileMount, TaskState } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { containerConfig } from "./container-config.js";
import { reconcile } from "./reconcile.js";
import { fileRefusal, filesToWrite } from "./task-files.js";
import { BLANK_MEMORY, type TaskMemory } from "./task-memory.js";
import type { TaskView } from "./task-view.js";
import {
  containerWith,
  FILES_DIRECTORY,
  NO_FILES,
  NODE,
  SECRET,
  SECRET_VERSION,
  type SpecParts,
  specWith,
  taskWith,
  viewWith,
} from "./testing.js";

const NOW_MS = 100_000;
const CONTENTS = new Map([[SECRET_VERSION.id, SECRET_VERSION]]);

function viewOf(fields: Partial<TaskView> = {}, container: SpecParts["container"] = {}): TaskView {
  const spec = specWith({ container: { files: [SECRET], ...container } });
  return viewWith({
    assignment: { task: taskWith(), spec, receivedAtMs: 1_000 },
    files: { ...NO_FILES, contents: CONTENTS },
    ...fields,
  });
}

const memoryWith = (fields: Partial<TaskMemory>): TaskMemory => ({ ...BLANK_MEMORY, ...fields });
const withoutContents = NO_FILES;

function writtenFiles(mounts: readonly Partial<FileMount>[], fields: Partial<TaskView> = {}) {
  const view = viewOf(fields, { files: mounts.map((mount) => ({ ...SECRET, ...mount })) });
  return view.assignment && filesToWrite(view, view.assignment)?.files;
}

describe("reconcile of a task with a secret", () => {
  test("writes the secret, then creates a container that mounts it read-only", () => {
    const { step } = reconcile(viewOf(), NOW_MS);
    expect(step).toEqual({
      kind: "write-files",
      taskId: "task1",
      files: [{ name: "v1-0-0-440", content: SECRET_VERSION.content, uid: 0, gid: 0, mode: 0o440 }],
      directoryGid: 0,
    });
    const written = reconcile(viewOf({ memory: memoryWith({ files: "written" }) }), NOW_MS);
    expect(written.step).toMatchObject({
      kind: "create",
      config: {
        body: {
          HostConfig: {
            Mounts: [
              {
                Type: "bind",
                Source: "/run/berth/secrets/task1/v1-0-0-440",
                Target: "/run/secrets/password",
                ReadOnly: true,
              },
            ],
          },
        },
      },
    });
    expect(JSON.stringify(written)).not.toContain("swordfish");
  });

  test.each([
    ["none of its containers", []],
    ["a container that has not been started", [containerWith({ state: "created" })]],
  ])("waits for the content with %s, and says for which secret", (_, containers) => {
    const waiting = reconcile(viewOf({ files: withoutContents, containers }), NOW_MS);
    expect(waiting.step).toBeUndefined();
    expect(waiting.status).toMatchObject({
      state: TaskState.PREPARING,
      message: "waiting for the leader to send secret shop_password",
    });
  });

  test("starts a created container only after its files were checked: a reboot removes them", () => {
    const containers = [containerWith({ state: "created" })];
    for (const files of ["none", "unverified"] as const) {
      const { step } = reconcile(viewOf({ containers, memory: memoryWith({ files }) }), NOW_MS);
      expect(step?.kind).toBe("write-files");
    }
    const memory = memoryWith({ files: "written" });
    // The leader sends the content of a task that is about to end no longer.
    const checked = reconcile(viewOf({ containers, memory, files: withoutContents }), NOW_MS);
    expect(checked.step).toMatchObject({ kind: "start" });
  });

  test("leaves a running container alone, whatever is known about its files", () => {
    for (const files of ["none", "unverified", "written"] as const) {
      const view = viewOf({
        containers: [containerWith()],
        memory: memoryWith({ files }),
        files: withoutContents,
      });
      const { step, status } = reconcile(view, NOW_MS);
      expect(step).toBeUndefined();
      expect(status).toMatchObject({ state: TaskState.RUNNING, message: "" });
    }
  });

  test("removes the files after the container, and reports the task gone after the files", () => {
    const spec = specWith({ container: { files: [SECRET] } });
    const memory = memoryWith({ files: "written", containerId: "c1" });
    const remove = { task: taskWith({ desiredState: DesiredState.REMOVE }), spec, receivedAtMs: 1_000 };
    for (const assignment of [remove, undefined]) {
      const ended = viewWith({ assignment, memory, containers: [containerWith({ state: "exited" })] });
      expect(reconcile(ended, NOW_MS).step?.kind).toBe("remove");
      const withoutContainer = reconcile(viewWith({ assignment, memory }), NOW_MS);
      expect(withoutContainer).toMatchObject({ step: { kind: "remove-files", taskId: "task1" } });
      expect(withoutContainer.isGone).toBeUndefined();
      const clean = memoryWith({ containerId: "c1" });
      expect(reconcile(viewWith({ assignment, memory: clean }), NOW_MS).isGone).toBe(true);
    }
  });

  test("removes the files of a task that was rejected, and keeps those of a container that has ended", () => {
    const rejected = viewOf({ memory: memoryWith({ files: "written", rejection: "no space" }) });
    expect(reconcile(rejected, NOW_MS).step?.kind).toBe("remove-files");
    const ended = viewOf({
      memory: memoryWith({ files: "written" }),
      containers: [containerWith({ state: "exited", exitCode: 1 })],
    });
    expect(reconcile(ended, NOW_MS).step).toBeUndefined();
  });

  test.each<[string, Partial<TaskView>, Partial<FileMount>]>([
    ["this node has rootless Docker", { node: { ...NODE, isolation: "rootless Docker" } }, {}],
    ["the leader has not set its version; update the service again", {}, { versionId: "" }],
    ["secret shop_password: its version ID is invalid", {}, { versionId: "../../etc" }],
    ['invalid uid "root"; use a number', {}, { uid: "root" }],
    ['invalid gid "4294967295"; use a number', {}, { gid: "4294967295" }],
  ])("rejects a task with a secret file: %s", (reason, fields, mount) => {
    const view = viewOf(fields, { files: [{ ...SECRET, ...mount }] });
    const { status, step } = reconcile(view, NOW_MS);
    expect(step).toBeUndefined();
    expect(status).toMatchObject({ state: TaskState.REJECTED, message: expect.stringContaining(reason) });
  });

  test("a policy does not reject secret files, while it rejects a user's mount of the same directory", () => {
    const mounted = {
      source: FILES_DIRECTORY,
      propagation: "",
      createHostPath: false,
      selinux: "",
      recursive: "",
    };
    const mount = { kind: { $case: "bind", value: mounted }, target: "/all", readOnly: true } as const;
    expect(reconcile(viewOf({}, { mounts: [mount] }), NOW_MS).status).toMatchObject({
      state: TaskState.REJECTED,
      message: expect.stringContaining("/run/berth belongs to berth"),
    });
  });
});

describe("reconcile of a task with a secret in an environment variable", () => {
  const VARIABLE: FileMount = { ...SECRET, env: "PGPASSWORD", target: "", uid: "", gid: "", mode: undefined };
  const contentsOf = (content: Buffer): TaskView["files"] => ({
    ...NO_FILES,
    contents: new Map([["v1", { id: "v1", content, isTemplate: false }]]),
  });

  test("creates the container with the variable, and writes no file", () => {
    const view = viewOf(
      { files: contentsOf(Buffer.from("{{.Task.Slot}}=\n")) },
      { env: ["A={{.Task.Slot}}"], files: [VARIABLE] },
    );
    const { step } = reconcile(view, NOW_MS);
    expect(step).toMatchObject({
      kind: "create",
      config: { body: { Env: ["A=2", "PGPASSWORD={{.Task.Slot}}="] } },
    });
    expect(step).not.toHaveProperty("config.body.HostConfig.Mounts");
  });

  test("waits for the content before the container exists, also when the files of the task are written", () => {
    const written = memoryWith({ files: "written" });
    for (const memory of [BLANK_MEMORY, written]) {
      const view = viewOf({ files: withoutContents, memory }, { files: [VARIABLE] });
      const { step, status } = reconcile(view, NOW_MS);
      expect(step).toBeUndefined();
      expect(status?.message).toBe("waiting for the leader to send secret shop_password");
    }
  });

  test("starts a container that exists without the content, since Docker has the variable", () => {
    const containers = [containerWith({ state: "created" })];
    const view = viewOf({ files: withoutContents, containers }, { files: [VARIABLE] });
    expect(reconcile(view, NOW_MS).step).toMatchObject({ kind: "start" });
  });

  test("runs with rootless Docker, since it needs no file", () => {
    const view = viewOf({ node: { ...NODE, isolation: "rootless Docker" } }, { files: [VARIABLE] });
    expect(reconcile(view, NOW_MS).step).toMatchObject({ kind: "create" });
  });

  test.each<[string, Partial<FileMount>, Buffer]>([
    ["contains a NUL byte", {}, Buffer.from("a\0b")],
    ["not UTF-8 text", {}, Buffer.from([0xff])],
    ["is not the name of an environment variable", { env: "A=B" }, Buffer.from("a")],
    ["the leader has not set its version", { versionId: "" }, Buffer.from("a")],
  ])("rejects a task with a secret in an environment variable: %s", (reason, mount, content) => {
    const view = viewOf({ files: contentsOf(content) }, { files: [{ ...VARIABLE, ...mount }] });
    const { status, step } = reconcile(view, NOW_MS);
    expect(step).toBeUndefined();
    expect(status).toMatchObject({ state: TaskState.REJECTED, message: expect.stringContaining(reason) });
  });
});

describe("filesToWrite", () => {
  test("mounts of one version share a file, unless their owners or modes differ", () => {
    const names = writtenFiles([
      {},
      { target: "/other" },
      { target: "/third", uid: "7" },
      { target: "/fourth", mode: undefined },
    ])?.map(({ name, uid, mode }) => [name, uid, mode]);
    expect(names).toEqual([
      ["v1-0-0-440", 0, 0o440],
      ["v1-7-0-440", 7, 0o440],
      ["v1-0-0-444", 0, 0o444],
    ]);
  });

  test("replaces the placeholders of a template and leaves all other bytes as they are", () => {
    const bytes = Buffer.from([0x00, 0xff, 0xc3]);
    const text = "{{.Service.Name}}/{{ .Task.Slot }}@{{.Node.Hostname}} {{.Unknown}} ä";
    const content = Buffer.concat([Buffer.from(text), bytes]);
    const contentOf = (isTemplate: boolean) => {
      const contents = new Map([["v1", { id: "v1", content, isTemplate }]]);
      const files = writtenFiles([{ kind: FileKind.CONFIG }], {
        files: { ...NO_FILES, contents },
      });
      return files?.[0]?.content;
    };
    expect(contentOf(true)).toEqual(Buffer.concat([Buffer.from("shop_web/2@host1 {{.Unknown}} ä"), bytes]));
    expect(contentOf(false)).toEqual(content);
  });

  test("gives files with userns-remap to the user that the container sees, and lets its group reach them", () => {
    const node = { ...NODE, containerRoot: { uid: 231_072, gid: 165_536 } };
    const remapped = viewOf({ node }, { files: [{ ...SECRET, uid: "7", gid: "8" }] });
    expect(reconcile(remapped, NOW_MS).step).toMatchObject({
      files: [{ name: "v1-7-8-440", uid: 231_079, gid: 165_544 }],
      directoryGid: 165_536,
    });
    const onHost = viewOf({ node }, { files: [{ ...SECRET, uid: "7", gid: "8" }], usernsMode: "host" });
    expect(reconcile(onHost, NOW_MS).step).toMatchObject({ files: [{ uid: 7, gid: 8 }] });
  });
});

test("a container without secrets and configs needs nothing from the host", () => {
  const spec = specWith();
  expect(
    fileRefusal(
      { task: taskWith(), spec },
      { node: { ...NODE, isolation: "rootless Docker" }, files: NO_FILES },
    ),
  ).toBeUndefined();
  const container = spec.task?.container;
  if (container === undefined) throw new Error("the spec has no container");
  const input = { task: taskWith(), spec, container, node: NODE, networks: viewWith().networks };
  const { body } = containerConfig({ ...input, files: NO_FILES, owners: [] });
  expect(body.HostConfig).not.toHaveProperty("Mounts");
});
