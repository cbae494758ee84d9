import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BerthError,
  FileKind,
  FileOutcome_Kind,
  FileVersion,
  GetFileResponse,
  MAX_FILE_BYTES,
  type PutFileRequest,
  ServiceOutcome_Kind,
} from "@berth/proto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fakeCli } from "../../testing/fake-cli.js";
import { type FakeControlHandlers, watching, webService, webTask } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const { SECRET, CONFIG } = FileKind;
const HIDDEN = "hunter2";

let cwd = "";
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "berth-file-"));
  await writeFile(join(cwd, "content"), `${HIDDEN}\n`);
});
afterEach(() => rm(cwd, { recursive: true }));

function version(change: Parameters<typeof FileVersion.fromPartial>[0] = {}): FileVersion {
  return FileVersion.fromPartial({
    id: "v3",
    kind: SECRET,
    name: "shop_key",
    version: 3,
    stack: "shop",
    labels: { team: "a" },
    createdAtMs: Date.now() - 65_000,
    sizeBytes: 7,
    ...change,
  });
}

/** Returns a server that records requests to store files, and answers with an outcome. */
function store(kind: FileOutcome_Kind, current = GetFileResponse.fromPartial({})) {
  const requests: PutFileRequest[] = [];
  const handlers: FakeControlHandlers = {
    getFile: async () => current,
    putFile: async (request) => {
      requests.push(request);
      const { kind: fileKind = SECRET, name = "" } = request.file ?? {};
      const service = { serviceId: "svcwebxxxxxxxxxxxx", name: "shop_web", version: 2 };
      const isUpdate = kind === FileOutcome_Kind.UPDATED;
      return {
        outcome: { fileKind, name, kind, version: 4 },
        services: isUpdate ? [{ ...service, kind: ServiceOutcome_Kind.UPDATED }] : [],
      };
    },
    watchServices: watching({
      services: [
        {
          serviceId: "svcwebxxxxxxxxxxxx",
          removed: false,
          tasks: [webTask({ specVersion: 2 })],
          summary: webService({
            service: { ...webService().service, version: 2, templateVersion: 2 },
          }),
        },
      ],
    }),
  };
  return { handlers, requests };
}

describe("secret create", () => {
  test("stores the bytes of a file and prints the name", async () => {
    const { handlers, requests } = store(FileOutcome_Kind.CREATED);
    const line = "secret create -l team=a --label x --stack shop shop_key content";
    expect(await berth(line, handlers, { cwd })).toEqual({ code: 0, out: "shop_key\n", err: "" });
    expect(requests).toEqual([
      {
        file: {
          kind: SECRET,
          name: "shop_key",
          stack: "shop",
          labels: { team: "a", x: "" },
          isTemplate: false,
          content: Buffer.from(`${HIDDEN}\n`),
        },
        createOnly: true,
        updateOnly: false,
      },
    ]);
  });

  test("reads standard input for -, without changing it", async () => {
    const { handlers, requests } = store(FileOutcome_Kind.CREATED);
    const { out } = await berth("secret create -o json key -", handlers, { stdin: " a\n\0b\n" });
    expect(JSON.parse(out)).toEqual({ name: "key", outcome: "created", version: 4 });
    expect(Buffer.from(requests[0]?.file?.content ?? []).toString()).toBe(" a\n\0b\n");
  });

  test("prompts on a terminal", async () => {
    const { handlers, requests } = store(FileOutcome_Kind.CREATED);
    const options = { stdin: `${HIDDEN}\n`, streams: { ...fakeCli().streams, isInputTty: true } };
    expect((await berth("secret create key -", handlers, options)).code).toBe(0);
    expect(Buffer.from(requests[0]?.file?.content ?? []).toString()).toBe(HIDDEN);
    const config = await berth("config create key -", handlers, options);
    expect([config.code, config.err]).toEqual([
      2,
      "error: standard input is a terminal: pass a file, or redirect standard input\n(BERTH_INPUT_INVALID)\n",
    ]);
    expect(requests).toHaveLength(1);
  });

  test.each([
    ["secret create -x content", "unknown option '-x'"],
    ["secret create key", "missing required argument 'file|-'"],
    [`secret create key ${HIDDEN}x`, `cannot read ${HIDDEN}x: no such file or directory`],
    ["secret create a/b content", 'secret a/b was not stored: invalid secret name "a/b"'],
    ["secret create key -", "secret key was not stored: the content is empty"],
    ["secret create -l = key content", "--label: "],
    ["secret create --template-driver golang key content", "unknown option '--template-driver'"],
    ["config create --template-driver jinja key content", "Allowed choices are golang"],
    ["secret update --timeout 0 key content", "--timeout"],
  ])("%s is refused before the server is called", async (line, message) => {
    const { code, out, err } = await berth(line, {}, { cwd });
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain(message);
  });

  test("a content that is too large is refused, and not printed", async () => {
    const { code, err } = await berth("secret create key -", {}, { stdin: HIDDEN.repeat(MAX_FILE_BYTES) });
    expect(code).toBe(2);
    expect(err).toContain("the content is too large (3584000 bytes, maximum 512000)");
    expect(err).not.toContain(HIDDEN);
  });
});

describe("config create", () => {
  test("--template-driver golang stores a template", async () => {
    const { handlers, requests } = store(FileOutcome_Kind.CREATED);
    const stdin = "slot={{.Task.Slot}}\n";
    const { out } = await berth("config create --template-driver golang app -", handlers, { stdin });
    expect(out).toBe("app\n");
    expect(requests[0]?.file).toMatchObject({ kind: CONFIG, name: "app", isTemplate: true });
  });

  test("lists the placeholders that are not supported with their positions", async () => {
    await writeFile(join(cwd, "app.conf.in"), 'a={{env "A"}}\n b={{if x}}\n');
    const { code, err } = await berth("config create --template-driver golang app app.conf.in", {}, { cwd });
    expect([code, err]).toMatchInlineSnapshot(`
      [
        2,
        "error: config app was not stored:
        app.conf.in:1:3: the placeholder "{{env \\"A\\"}}" is not supported; use .Node.ID, .Node.Hostname, .Service.ID, .Service.Name, .Task.ID, .Task.Name, .Task.Slot
        app.conf.in:2:4: the placeholder "{{if x}}" is not supported; use .Node.ID, .Node.Hostname, .Service.ID, .Service.Name, .Task.ID, .Task.Name, .Task.Slot
      (BERTH_INPUT_INVALID)
      ",
      ]
    `);
  });
});

describe("secret update", () => {
  const current = GetFileResponse.fromPartial({ versions: [version({ isTemplate: true })] });

  test("stores a version, keeps the labels, and waits for the services that use it", async () => {
    const { handlers, requests } = store(FileOutcome_Kind.UPDATED, current);
    const { code, out } = await berth("secret update -l owner=me shop_key content", handlers, { cwd });
    expect([code, out]).toMatchInlineSnapshot(`
      [
        0,
        "Secret shop_key updated, version 4
      Updating service shop_web
      shop_web: 2/2 running
      ",
      ]
    `);
    expect(requests).toMatchObject([
      {
        file: { stack: "shop", labels: { team: "a", owner: "me" }, isTemplate: true },
        createOnly: false,
        updateOnly: true,
      },
    ]);
  });

  test("-o json and --detach print the outcome without waiting", async () => {
    const { getFile, putFile } = store(FileOutcome_Kind.UPDATED, current).handlers;
    const line = "config update --detach -o json app content";
    const { out } = await berth(line, { getFile, putFile } as FakeControlHandlers, { cwd });
    expect(JSON.parse(out)).toEqual({
      name: "app",
      outcome: "updated",
      version: 4,
      services: [{ id: "svcwebxxxxxxxxxxxx", name: "shop_web", outcome: "updated", version: 2 }],
    });
  });

  test("prints that the content is unchanged", async () => {
    const { handlers } = store(FileOutcome_Kind.UNCHANGED, current);
    const { out } = await berth("secret update shop_key content", handlers, { cwd });
    expect(out).toBe("Secret shop_key unchanged, version 4\n");
  });

  test("fails when there is none with the name", async () => {
    const getFile: FakeControlHandlers["getFile"] = async () => {
      throw new BerthError({ code: "BERTH_NOT_FOUND", message: "no such secret: nope" });
    };
    const { code, err } = await berth("secret update nope content", { getFile }, { cwd });
    expect([code, err]).toEqual([1, "error: no such secret: nope\n(BERTH_NOT_FOUND)\n"]);
  });
});

describe("ls", () => {
  const kinds: FileKind[] = [];
  const listFiles: FakeControlHandlers["listFiles"] = async ({ kind }) => {
    kinds.push(kind);
    return { files: [version({ name: "other", stack: "", version: 1, labels: {} }), version({ kind })] };
  };

  test("lists names, versions and stacks", async () => {
    expect((await berth("secret ls", { listFiles })).out).toMatchInlineSnapshot(`
      "NAME       VERSION   STACK   LABELS   UPDATED
      other      1                          about a minute ago
      shop_key   3         shop    team=a   about a minute ago
      "
    `);
    expect((await berth("config ls -q -f stack=shop -f label=team=a -f name=key", { listFiles })).out).toBe(
      "shop_key\n",
    );
    expect(kinds).toEqual([SECRET, CONFIG]);
    expect((await berth("secret ls -f driver=x", { listFiles })).code).toBe(2);
  });

  test("-o json has the size of a config only", async () => {
    const [, secret] = JSON.parse((await berth("secret ls -o json", { listFiles })).out);
    expect(Object.keys(secret)).toEqual(["name", "stack", "version", "labels", "updatedAtMs", "removing"]);
    const [, config] = JSON.parse((await berth("config ls -o json", { listFiles })).out);
    expect(config).toMatchObject({ name: "shop_key", sizeBytes: 7, template: false });
  });
});

describe("inspect", () => {
  const day = Date.UTC(2026, 0, 1);
  const response = (kind: FileKind) =>
    GetFileResponse.fromPartial({
      versions: [
        version({ kind, createdAtMs: day, labels: { team: "a", "other.key": "" } }),
        version({ kind, version: 2, createdAtMs: 1 }),
      ],
      uses: [
        { service: "shop_web", version: 3, tasksWithOtherVersions: 2 },
        { service: "shop_db", version: 3 },
      ],
      // A server never sends the content of a secret. If it did, the command would not show it.
      content: Buffer.from(`${HIDDEN}\x1b[2J`),
    });
  const getFile: FakeControlHandlers["getFile"] = async ({ kind }) => response(kind);

  test("prints who uses a secret, but never its content", async () => {
    const json = await berth("secret inspect shop_key", { getFile });
    expect(json.out).toMatchInlineSnapshot(`
      "[
        {
          "name": "shop_key",
          "stack": "shop",
          "version": 3,
          "labels": {
            "team": "a",
            "other.key": ""
          },
          "updatedAtMs": 1767225600000,
          "removing": false,
          "versions": [
            {
              "version": 3,
              "createdAtMs": 1767225600000
            },
            {
              "version": 2,
              "createdAtMs": 1
            }
          ],
          "services": [
            {
              "name": "shop_web",
              "version": 3,
              "tasksWithOtherVersions": 2
            },
            {
              "name": "shop_db",
              "version": 3,
              "tasksWithOtherVersions": 0
            }
          ]
        }
      ]
      "
    `);
    const pretty = await berth("secret inspect --pretty shop_key", { getFile });
    expect(pretty.out.replaceAll(/\d+ \w+ ago/g, "… ago")).toMatchInlineSnapshot(`
      "Name:      shop_key
      Stack:     shop
      Version:   3, … ago
      Earlier:   2, … ago
      Labels:    team=a
                 other.key=
      Services:  shop_web  version 3, 2 tasks with other versions
                 shop_db  version 3
      "
    `);
    for (const { out } of [json, pretty]) {
      expect(out).not.toContain(HIDDEN);
      expect(out).not.toContain(Buffer.from(HIDDEN).toString("base64").slice(0, 8));
    }
  });

  test("prints the content of a config as base64, or as text that does not control the terminal", async () => {
    const [config] = JSON.parse((await berth("config inspect shop_key", { getFile })).out);
    expect(Buffer.from(config.data, "base64").toString()).toBe(`${HIDDEN}\x1b[2J`);
    const { out } = await berth("config inspect --pretty shop_key", { getFile });
    expect(out).toContain(`\nData:\n${HIDDEN}`);
    expect(out).not.toContain("\x1b");
  });

  test("prints no content when the server does not send it to the user", async () => {
    const redacted: FakeControlHandlers["getFile"] = async ({ kind }) => ({
      ...response(kind),
      content: Buffer.alloc(0),
    });
    const [config] = JSON.parse((await berth("config inspect shop_key", { getFile: redacted })).out);
    expect(config).toMatchObject({ name: "shop_key", sizeBytes: 7 });
    expect(config).not.toHaveProperty("data");
    const { out } = await berth("config inspect --pretty shop_key", { getFile: redacted });
    expect(out).not.toContain("Data:");
  });
});

describe("rm", () => {
  test("prints the names of the removed secrets", async () => {
    const removeFiles: FakeControlHandlers["removeFiles"] = async ({ kind, names }) => ({
      files: names.map((name) => ({ fileKind: kind, name, kind: FileOutcome_Kind.REMOVED, version: 0 })),
    });
    expect((await berth("secret rm a b", { removeFiles })).out).toBe("a\nb\n");
    expect(JSON.parse((await berth("config rm -o json a", { removeFiles })).out)).toEqual({
      removed: [{ name: "a", outcome: "removed", version: 0 }],
    });
  });

  test("fails when a service uses one", async () => {
    const message = "secret key is used by service shop_web; update the service first";
    const removeFiles: FakeControlHandlers["removeFiles"] = async () => {
      throw new BerthError({ code: "BERTH_FILE_IN_USE", message });
    };
    const { code, out, err } = await berth("secret rm key", { removeFiles });
    expect([code, out, err]).toEqual([1, "", `error: ${message}\n(BERTH_FILE_IN_USE)\n`]);
  });
});

test("shell completion suggests the names of secrets and configs", async () => {
  const listFiles: FakeControlHandlers["listFiles"] = async ({ kind }) => ({
    files: [version({ name: kind === SECRET ? "a_secret" : "a_config" })],
  });
  expect((await berth("__complete secret inspect a", { listFiles })).out).toBe("a_secret\n");
  expect((await berth("__complete config update a", { listFiles })).out).toBe("a_config\n");
  expect((await berth("__complete secret c", { listFiles })).out).toBe("create\n");
});
