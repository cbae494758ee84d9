import { describe, expect, it } from "vitest";
import { FileContent } from "../../gen/berth/v1/control.js";
import { ContainerSpec, FileKind, type FileMount, ServiceSpec } from "../../gen/berth/v1/spec.js";
import { applySpecDefaults } from "./apply-spec-defaults.js";
import {
  environmentValue,
  environmentValueProblem,
  MAX_FILE_BYTES,
  validateFileContent,
  validateFileMounts,
} from "./files.js";

const PASSWORD: Partial<FileMount> = {
  kind: FileKind.SECRET,
  name: "shop_password",
  target: "/run/secrets/password",
  uid: "0",
  gid: "0",
};

function problemsOf(
  files: readonly Partial<FileMount>[],
  targets: readonly string[] = [],
): readonly string[] {
  const container = ContainerSpec.fromPartial({
    files: [...files],
    mounts: targets.map((target) => ({ target })),
  });
  const problems: string[] = [];
  validateFileMounts(container, "c", (path, message) => problems.push(`${path}: ${message}`));
  return problems;
}

describe("validateFileMounts()", () => {
  it("accepts a secret with a number as its owner, and the widest mode", () => {
    expect(problemsOf([{ ...PASSWORD, uid: "4294967294", mode: 0o777 }])).toEqual([]);
  });

  it.each([
    ["kind", { kind: FileKind.UNSPECIFIED }],
    ["name", { name: "../password" }],
    ["target", { target: "run/secrets/password" }],
    ["target", { target: "/" }],
    ["target", { target: "/run/../etc/passwd" }],
    ["target", { target: "/run/secrets/" }],
    ["target", { target: "/run/\0" }],
    ["uid", { uid: "root" }],
    ["gid", { gid: "4294967295" }],
    ["gid", { gid: "-1" }],
    ["mode", { mode: 0o10000 }],
  ] satisfies [string, Partial<FileMount>][])("rejects an invalid %s: %j", (field, over) => {
    expect(problemsOf([{ ...PASSWORD, ...over }])).toEqual([
      expect.stringMatching(new RegExp(`^c\\.files\\[0\\]\\.${field}: `)),
    ]);
  });

  it("rejects a target that another file or a mount has", () => {
    expect(problemsOf([PASSWORD, { ...PASSWORD, name: "other" }])).toEqual([
      "c.files[1].target: c.files[0] has the same target /run/secrets/password",
    ]);
    expect(problemsOf([PASSWORD], ["/run/secrets/password/"])).toEqual([
      "c.files[0].target: c.mounts[0] has the same target /run/secrets/password",
    ]);
  });

  it("rejects a target below the target of another file", () => {
    const targets = ["/etc/app", "/etc/app/tls/key", "/etc/app.conf"];
    expect(problemsOf(targets.map((target) => ({ ...PASSWORD, target })))).toEqual([
      "c.files[1].target: /etc/app/tls/key is below /etc/app, which is the target of a file",
    ]);
  });

  const VARIABLE: Partial<FileMount> = { kind: FileKind.SECRET, name: "shop_password", env: "PGPASSWORD" };

  it("accepts a secret as an environment variable, also several times", () => {
    expect(problemsOf([VARIABLE, { ...VARIABLE, env: "_2" }, PASSWORD])).toEqual([]);
  });

  it.each([
    ["a config", { kind: FileKind.CONFIG }, "only a secret can be an environment variable"],
    ["a target", { target: "/p" }, "an environment variable cannot have a target, uid, gid or mode"],
    ["a mode", { mode: 0 }, "an environment variable cannot have a target, uid, gid or mode"],
    ["a name with =", { env: "A=B" }, '"A=B" is not the name of an environment variable'],
    ["a digit first", { env: "1A" }, '"1A" is not the name of an environment variable'],
    ["a long name", { env: "A".repeat(256) }, "is not the name of an environment variable"],
  ] satisfies [string, Partial<FileMount>, string][])(
    "rejects an environment variable with %s",
    (_, over, problem) => {
      expect(problemsOf([{ ...VARIABLE, ...over }])).toEqual([expect.stringContaining(problem)]);
    },
  );

  it("rejects a variable that another secret or the environment has", () => {
    expect(problemsOf([VARIABLE, { ...VARIABLE, name: "other" }])).toEqual([
      "c.files[1].env: c.files[0] has the same env PGPASSWORD",
    ]);
    const problems: string[] = [];
    const container = ContainerSpec.fromPartial({ files: [VARIABLE], env: ["A=1", "PGPASSWORD=hunter2"] });
    validateFileMounts(container, "c", (path, message) => problems.push(`${path}: ${message}`));
    expect(problems).toEqual(["c.files[0].env: c.env[1] has the same env PGPASSWORD"]);
  });

  it("rejects more files than the limit", () => {
    const files = Array.from({ length: 101 }, (_, i) => ({ ...PASSWORD, target: `/f${i}` }));
    expect(problemsOf(files)).toEqual(["c.files: too many secrets and configs (101, maximum 100)"]);
  });
});

describe("a secret in an environment variable", () => {
  it.each([
    ["hunter2", "hunter2"],
    ["hunter2\n", "hunter2"],
    ["hunter2\r\n", "hunter2"],
    ["two\n\nlines\n\n", "two\n\nlines\n"],
    ["naïve ", "naïve "],
    ["x".repeat(32 * 1024), "x".repeat(32 * 1024)],
  ])("loses one final line break: %j", (content, value) => {
    expect(environmentValueProblem(Buffer.from(content))).toBeUndefined();
    expect(environmentValue(Buffer.from(content))).toBe(value);
  });

  it.each([
    ["a NUL byte", Buffer.from("hunter2\0")],
    ["not UTF-8", Buffer.from([0x68, 0xff])],
    ["too large", Buffer.alloc(32 * 1024 + 1, "hunter2")],
  ])("a secret in an environment variable cannot have a content that is or has %s", (what, content) => {
    const problem = environmentValueProblem(content);
    expect(problem).toContain(what);
    expect(problem).not.toContain("hunter2");
  });
});

describe("validateFileContent()", () => {
  const file = (over: Partial<FileContent>): FileContent =>
    FileContent.fromPartial({ kind: FileKind.CONFIG, name: "nginx", content: Buffer.from("x"), ...over });
  const pathsOf = (over: Partial<FileContent>): readonly string[] =>
    validateFileContent(file(over)).map(({ path }) => path);

  it("accepts a template of the largest size", () => {
    expect(pathsOf({ content: Buffer.alloc(MAX_FILE_BYTES), isTemplate: true })).toEqual([]);
  });

  it.each([
    ["kind", { kind: FileKind.UNSPECIFIED }],
    ["name", { name: "" }],
    ["content", { content: Buffer.alloc(0) }],
    ["content", { content: Buffer.alloc(MAX_FILE_BYTES + 1) }],
    ["is_template", { kind: FileKind.SECRET, isTemplate: true }],
    ["labels", { labels: { a: "x".repeat(20_000) } }],
  ] satisfies [string, Partial<FileContent>][])("rejects an invalid %s", (path, over) => {
    expect(pathsOf(over)).toEqual([path]);
  });

  it("rejects placeholders that agents cannot replace, with their lines, but only in templates", () => {
    const content = Buffer.from('a={{.Task.Slot}}\nb={{ env "A" }}\n{{.Nope');
    expect(validateFileContent(file({ content }))).toEqual([]);
    expect(validateFileContent(file({ content, isTemplate: true }))).toEqual([
      { path: "template", message: expect.stringMatching(/^line 2: the placeholder .* is not supported/) },
      { path: "template", message: "line 3: the braces of the placeholder are not closed" },
    ]);
    expect(pathsOf({ content: Buffer.from([0xff]), isTemplate: true })).toEqual(["template"]);
  });

  it("never repeats the content", () => {
    const content = Buffer.from("hunter2".repeat(100_000));
    expect(
      JSON.stringify(validateFileContent(file({ kind: FileKind.UNSPECIFIED, name: "", content }))),
    ).not.toContain("hunter2");
  });
});

describe("applySpecDefaults()", () => {
  it("sets the owner and the mode of files, so that equal specs look equal", () => {
    const spec = ServiceSpec.fromPartial({ task: { container: { files: [{ name: "a" }] } } });
    const withDefaults = applySpecDefaults(spec);
    expect(withDefaults.task?.container?.files).toMatchObject([{ uid: "0", gid: "0", mode: 0o444 }]);
    expect(applySpecDefaults(withDefaults)).toEqual(withDefaults);
  });
});
