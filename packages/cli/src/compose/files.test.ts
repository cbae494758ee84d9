// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose writes its variables like this
import { readFileSync } from "node:fs";
import { BerthError, type FileContent, FileKind, MAX_FILE_BYTES } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { type LoadTextOptions, loadText } from "../testing/load-text.js";
import { loadStack } from "./load-stack.js";
import { formatDiagnostics, PLAIN_STYLE } from "./text/format-diagnostics.js";

const { SECRET, CONFIG } = FileKind;

/** Loads a file and returns the mounts by service, and the contents as text. */
function load(text: string, options: LoadTextOptions = {}) {
  const { specs, files, messages } = loadText(text, options);
  const mounts = specs.map(({ name, task }) => [name, task?.container?.files ?? []] as const);
  return { messages, mounts: Object.fromEntries(mounts), files: files.map(withText) };
}

function withText({ content, ...file }: FileContent) {
  return { ...file, content: Buffer.from(content).toString() };
}

describe("secrets and configs of a Compose file", () => {
  test("short form: the target of a secret is below /run/secrets, and that of a config below the root", () => {
    const { messages, mounts, files } = load(
      `services: { web: { image: a, secrets: [key], configs: [settings] } }
secrets: { key: { file: ./key.txt, labels: [a=b] } }
configs: { settings: { file: settings.json } }
`,
      { files: { "key.txt": "hunter2\n", "settings.json": "{}" } },
    );
    expect(messages).toEqual([]);
    const common = { versionId: "", uid: "0", gid: "0", mode: 0o444, env: "" };
    expect(mounts).toEqual({
      t_web: [
        { kind: SECRET, name: "t_key", target: "/run/secrets/key", ...common },
        { kind: CONFIG, name: "t_settings", target: "/settings", ...common },
      ],
    });
    const stored = { stack: "", isTemplate: false };
    expect(files).toEqual([
      { ...stored, kind: SECRET, name: "t_key", labels: { a: "b" }, content: "hunter2\n" },
      { ...stored, kind: CONFIG, name: "t_settings", labels: {}, content: "{}" },
    ]);
  });

  test("long form: relative targets are below the default directory", () => {
    const { messages, mounts } = load(
      `services:
  web:
    image: a
    secrets:
      - { source: key, target: certs/server.key, uid: "103", gid: "103", mode: 0440 }
      - { source: key, target: /etc//ssl/../key/, mode: 0o400 }
      - source: key
    configs:
      - { source: settings, target: etc/app.json, mode: "0600" }
secrets: { key: { environment: KEY } }
configs: { settings: { content: "{}" } }
`,
      { env: { KEY: "hunter2" } },
    );
    expect(messages).toEqual([]);
    expect(mounts.t_web?.map(({ target, uid, gid, mode }) => [target, uid, gid, mode?.toString(8)])).toEqual([
      ["/run/secrets/certs/server.key", "103", "103", "440"],
      ["/etc/key", "0", "0", "400"],
      ["/run/secrets/key", "0", "0", "444"],
      ["/etc/app.json", "0", "0", "600"],
    ]);
  });

  test("contents come from files, variables and text, in which variables are replaced", () => {
    const { messages, files } = load(
      `services: { web: { image: a, secrets: [a], configs: [b, c] } }
secrets: { a: { environment: TOKEN } }
configs:
  b: { file: "\${DIR}/b.conf" }
  c:
    content: |
      host=\${HOST}
      price=$$5
`,
      { dotenv: "TOKEN=from .env\nDIR=conf\n", env: { HOST: "db" }, files: { "conf/b.conf": "\0binary" } },
    );
    expect(messages).toEqual([]);
    expect(files.map(({ name, content }) => [name, content])).toEqual([
      ["t_a", "from .env"],
      ["t_b", "\0binary"],
      ["t_c", "host=db\nprice=$5\n"],
    ]);
  });

  test("external ones keep their name and are not stored", () => {
    const { messages, mounts, files } =
      load(`services: { web: { image: a, secrets: [a, b, c], configs: [d] } }
secrets:
  a: { external: true }
  b: { external: true, name: shared_b }
  c: { external: { name: shared_c } }
  again: { external: { name: shared_c } }
configs: { d: { external: true, x-note: any } }
`);
    expect(messages).toEqual([]);
    expect(files).toEqual([]);
    expect(mounts.t_web?.map(({ name, target }) => [name, target])).toEqual([
      ["a", "/run/secrets/a"],
      ["shared_b", "/run/secrets/b"],
      ["shared_c", "/run/secrets/c"],
      ["d", "/d"],
    ]);
  });

  test("the name of a secret replaces its name in the cluster, and unused secrets are neither read nor stored", () => {
    const { messages, mounts, files } = load(
      `services: { web: { image: a, secrets: [key, key] }, off: { image: a, secrets: [gone], profiles: [x] } }
secrets: { key: { environment: KEY, name: "key-\${N}" }, gone: { file: ./gone }, unused: { file: ./unused } }
`,
      { env: { KEY: "k", N: "2" } },
    );
    expect(messages).toEqual([
      "c.yaml:1:97: warning: services.off.profiles: the service is disabled; use --profile x to enable it",
    ]);
    expect(mounts.t_web).toMatchObject([{ name: "key-2", target: "/run/secrets/key" }]);
    expect(files.map(({ name }) => name)).toEqual(["key-2"]);
  });

  test("template_driver: golang makes a config a template", () => {
    const { messages, files } = load(`services: { web: { image: a, configs: [c] } }
configs: { c: { content: "slot={{.Task.Slot}} host={{ .Node.Hostname }}", template_driver: golang } }
`);
    expect(messages).toEqual([]);
    expect(files).toMatchObject([
      { isTemplate: true, content: "slot={{.Task.Slot}} host={{ .Node.Hostname }}" },
    ]);
  });

  test("unsupported placeholders are errors with their position in the Compose file or in the config", () => {
    const { messages } = load(
      `services: { web: { image: a, configs: [text, file, env] } }
configs:
  text:
    template_driver: golang
    content: |
      \${PREFIX}{{ env "A" }}
      ok={{.Task.ID}} {{ env "A" }} {{.Nope
  file: { file: app.conf.in, template_driver: golang }
  env: { environment: TEMPLATE, template_driver: golang }
`,
      {
        env: { PREFIX: "a longer prefix ", TEMPLATE: '{{ secret "x" }}' },
        files: { "app.conf.in": "first\n  {{if .A}}x{{end}}\n" },
      },
    );
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:6:16: configs.text.content: the placeholder "{{ env \\"A\\" }}" is not supported; use .Node.ID, .Node.Hostname, .Service.ID, .Service.Name, .Task.ID, .Task.Name, .Task.Slot",
        "c.yaml:7:23: configs.text.content: the placeholder "{{ env \\"A\\" }}" is not supported; use .Node.ID, .Node.Hostname, .Service.ID, .Service.Name, .Task.ID, .Task.Name, .Task.Slot",
        "c.yaml:7:37: configs.text.content: the braces of the placeholder are not closed",
        "c.yaml:9:23: configs.env.environment: the placeholder "{{ secret \\"x\\" }}" is not supported; use .Node.ID, .Node.Hostname, .Service.ID, .Service.Name, .Task.ID, .Task.Name, .Task.Slot",
        "app.conf.in:2:3: configs.file.file: the placeholder "{{if .A}}" is not supported; use .Node.ID, .Node.Hostname, .Service.ID, .Service.Name, .Task.ID, .Task.Name, .Task.Slot",
        "app.conf.in:2:13: configs.file.file: the placeholder "{{end}}" is not supported; use .Node.ID, .Node.Hostname, .Service.ID, .Service.Name, .Task.ID, .Task.Name, .Task.Slot",
      ]
    `);
  });

  test("invalid ones are errors with their places", () => {
    const { messages } = load(
      `services:
  web:
    image: a
    secrets:
      - kye
      - { target: x }
      - { source: key, target: a, uid: root, gid: "-1", mode: 01777 }
      - { source: key, target: b, mode: 99 }
      - { source: key, target: c, mode: "rw" }
      - { source: key, target: [x] }
      - { source: key, path: /x }
      - [key]
    configs: settings
    volumes: ["data:/both"]
  two:
    image: a
    secrets: [none, empty, large, unset, spaces, directory, multiline, good, { source: key, target: /both }]
    configs: [missing, { source: settings, target: /both }, { source: settings, target: / }]
    volumes: ["data:/run/secrets/good"]
volumes: { data: }
secrets:
  key: { file: key }
  good: { file: key }
  none:
  empty: { file: empty }
  large: { file: large }
  unset: { environment: UNSET }
  spaces: { environment: "not a name" }
  directory: { file: directory }
  multiline: { file: "a\\nb" }
  two: { file: a, environment: B }
  ext: { external: true, file: a, labels: { a: b } }
  driver: { file: a, driver: vault, driver_opts: { a: b }, template_driver: golang }
  unknown: { files: a }
  same: { file: a, name: t_key }
  "bad name": { file: a }
  text: hunter2
configs:
  settings: { content: x }
  missing: { file: ./missing }
  three: { file: a, environment: B, content: c }
  template: { content: a, template_driver: jinja }
  nothing: {}
`,
      { files: { key: "k", empty: "", large: "x".repeat(MAX_FILE_BYTES + 1) } },
    );
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:5:9: services.web.secrets[0]: undefined secret "kye"; did you mean "key"?",
        "c.yaml:6:9: services.web.secrets[1]: the secret has no source",
        "c.yaml:7:40: services.web.secrets[2].uid: "root" is not a number from 0 to 4294967294",
        "c.yaml:7:51: services.web.secrets[2].gid: "-1" is not a number from 0 to 4294967294",
        "c.yaml:9:41: services.web.secrets[4].mode: must be permission bits such as 0440, not the text "rw"",
        "c.yaml:10:32: services.web.secrets[5].target: must be text, not a list",
        "c.yaml:11:24: services.web.secrets[6].path: unknown key "path"",
        "c.yaml:12:9: services.web.secrets[7]: must be text, not a list",
        "c.yaml:13:14: services.web.configs: must be a list such as ["settings"], not the text "settings"",
        "c.yaml:17:72: services.two.secrets[7].target: task.container.mounts[0] has the same target /run/secrets/good",
        "c.yaml:18:24: services.two.configs[1]: the secret t_key has the same target /both",
        "c.yaml:18:89: services.two.configs[2].target: "/" is not the plain path of a file; remove empty parts, "." and ".."",
        "c.yaml:24:3: secrets.none: must be a mapping",
        "c.yaml:25:18: secrets.empty.file: the content is empty",
        "c.yaml:26:18: secrets.large.file: the content is too large (512001 bytes, maximum 512000)",
        "c.yaml:27:25: secrets.unset.environment: the variable UNSET is not set",
        "c.yaml:28:26: secrets.spaces.environment: the value is not the name of a variable",
        "c.yaml:29:22: secrets.directory.file: no such file: directory",
        "c.yaml:30:22: secrets.multiline.file: the value is not the path of a file",
        "c.yaml:31:19: secrets.two.environment: file and environment are mutually exclusive",
        "c.yaml:32:26: secrets.ext.file: an external secret cannot have file",
        "c.yaml:32:35: secrets.ext.labels: an external secret cannot have labels",
        "c.yaml:33:22: secrets.driver.driver: secret drivers are not supported yet",
        "c.yaml:33:37: secrets.driver.driver_opts: secret drivers are not supported yet",
        "c.yaml:33:60: secrets.driver.template_driver: only configs can be templates",
        "c.yaml:34:14: secrets.unknown.files: unknown key "files"; did you mean "file"?",
        "c.yaml:35:3: secrets.same: the secret key has the same name t_key",
        "c.yaml:35:17: secrets.same.file: no such file: a",
        "c.yaml:36:3: secrets.bad name: invalid secret name "t_bad name"; use ASCII letters, digits, -, _ and ., starting with a letter or digit",
        "c.yaml:37:3: secrets.text: must be a mapping",
        "c.yaml:40:20: configs.missing.file: no such file: ./missing",
        "c.yaml:41:21: configs.three.environment: file, environment and content are mutually exclusive",
        "c.yaml:41:37: configs.three.content: file, environment and content are mutually exclusive",
        "c.yaml:42:44: configs.template.template_driver: "jinja" is invalid; use golang",
        "c.yaml:43:3: configs.nothing: no source; set file, environment, content or external: true",
      ]
    `);
  });

  test("a decimal mode is a warning, since it is rarely meant", () => {
    const { messages, mounts } = load(
      `services: { web: { image: a, secrets: [{ source: key, mode: 440 }, { source: key, target: b, mode: 288 }] } }
secrets: { key: { external: true } }
`,
    );
    expect(messages).toEqual([
      "c.yaml:1:61: warning: services.web.secrets[0].mode: 440 is a decimal number and means 0670; write 0440 for the permission bits 440",
    ]);
    expect(mounts.t_web?.map(({ mode }) => mode)).toEqual([0o670, 0o440]);
  });

  test("all contents together are limited", () => {
    const names = Array.from({ length: 30 }, (_, index) => `s${index}`);
    const secrets = names.map((name) => `  ${name}: { file: big }\n`).join("");
    const { messages } = load(`services: { web: { image: a, secrets: [${names}] } }\nsecrets:\n${secrets}`, {
      files: { big: "x".repeat(MAX_FILE_BYTES) },
    });
    expect(messages).toEqual([
      "c.yaml:27:16: secrets.s24.file: the secrets and configs of the stack are too large (maximum 12582912 bytes)",
    ]);
  });

  test("files that cannot be read are errors with their places", () => {
    const text = `services: { web: { image: a, secrets: [key] } }\nsecrets: { key: { file: directory } }\n`;
    const { diagnostics } = loadStack({
      stack: "t",
      envFiles: [],
      environment: {},
      homeDirectory: "/home/user",
      files: [{ name: "c.yaml", path: "/project/c.yaml", bytes: Buffer.from(text) }],
      readFile: (path) => {
        throw new BerthError({ code: "BERTH_INPUT_INVALID", message: `cannot read ${path}: is a directory` });
      },
    });
    expect(formatDiagnostics(diagnostics)).toEqual([
      "c.yaml:2:25: secrets.key.file: cannot read /project/directory: is a directory",
    ]);
  });

  test("several files are merged by target, and labels by key", () => {
    const base = `services:
  web:
    image: a
    secrets: [key, { source: key, target: other }]
    configs: [{ source: settings, target: /etc/a }, settings]
secrets: { key: { file: a, labels: [a=1, b=1] } }
configs: { settings: { content: one } }
`;
    const override = `services:
  web:
    secrets: [{ source: key2, target: /run/secrets/key }]
    configs: [{ source: settings, target: etc/a, mode: 0400 }]
secrets: { key2: { environment: KEY }, key: { file: b, labels: { b: "2" } } }
configs: { settings: { content: two } }
`;
    const { messages, mounts, files } = load(base, {
      overrides: [override],
      env: { KEY: "k" },
      files: { b: "B" },
    });
    expect(messages).toEqual([]);
    expect(mounts.t_web?.map(({ name, target, mode }) => [name, target, mode])).toEqual([
      ["t_key2", "/run/secrets/key", 0o444],
      ["t_key", "/run/secrets/other", 0o444],
      ["t_settings", "/etc/a", 0o400],
      ["t_settings", "/settings", 0o444],
    ]);
    expect(files.map(({ name, content, labels }) => [name, content, labels])).toEqual([
      ["t_key", "B", { a: "1", b: "2" }],
      ["t_key2", "k", {}],
      ["t_settings", "two", {}],
    ]);
  });

  test("messages never contain what may be a secret, also not with excerpts", () => {
    const HIDDEN = "hunter2";
    const text = `services: { web: { image: a, secrets: [a, b, c, d, e, f] } }
secrets:
  a: ${HIDDEN}
  b: { content: ${HIDDEN} }
  c: { value: ${HIDDEN} }
  d: { environment: ${HIDDEN}-x }
  e: { file: "${HIDDEN}\\n" }
  f: { file: f }
`;
    const { diagnostics } = loadStack({
      stack: "t",
      envFiles: [],
      environment: {},
      homeDirectory: "/home/user",
      files: [{ name: "c.yaml", path: "/project/c.yaml", bytes: Buffer.from(text) }],
      readFile: () => Buffer.from(HIDDEN.repeat(200_000)),
    });
    const messages = formatDiagnostics(diagnostics, { ...PLAIN_STYLE, showsExcerpt: true });
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:3:3: secrets.a: must be a mapping",
        "c.yaml:4:8: secrets.b.content: a Compose file cannot contain the content of a secret; use file or environment",
        "c.yaml:5:8: secrets.c.value: unknown key "value"",
        "c.yaml:6:21: secrets.d.environment: the value is not the name of a variable",
        "c.yaml:7:14: secrets.e.file: the value is not the path of a file",
        "c.yaml:8:14: secrets.f.file: the content is too large (1400000 bytes, maximum 512000)",
      ]
    `);
    expect(messages.join("\n")).not.toContain(HIDDEN);
  });
});

test("the Compose file in docs/secrets.md loads", () => {
  const document = readFileSync(new URL("../../../../docs/secrets.md", import.meta.url), "utf8");
  const [, text = ""] = /```yaml\n(.*?)```/s.exec(document) ?? [];
  const options = { env: { DOMAIN: "example.org" }, files: { "db_password.txt": "p" } };
  const { messages, mounts, files } = load(text, options);
  expect(messages).toEqual([]);
  expect(mounts.t_web?.map(({ target }) => target)).toEqual([
    "/run/secrets/db_password",
    "/run/secrets/tls/server.key",
    "/etc/nginx/conf.d/site.conf",
  ]);
  expect(files.map(({ name }) => name)).toEqual(["t_db_password", "t_site"]);
});
