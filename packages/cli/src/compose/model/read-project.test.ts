// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose writes its variables like this
import { describe, expect, test } from "vitest";
import { type LoadTextOptions, resolveText } from "../../testing/load-text.js";

const services = (text: string, options?: LoadTextOptions) => {
  const { project, messages } = resolveText(text, options);
  expect(messages).toEqual([]);
  return project.services;
};

describe("extends", () => {
  test("a service has the keys of the service that it extends, merged with its own", () => {
    const text = `services:
  base: { image: a, environment: { A: "1", B: "1" }, ports: ["80:80"], command: [x] }
  web: { extends: base, environment: [B=2], ports: ["81:80"], command: [y] }
`;
    expect(services(text)).toMatchObject({
      web: {
        image: "a",
        environment: { A: "1", B: "2" },
        ports: [{ published: "80" }, { published: "81" }],
        command: ["y"],
      },
    });
  });

  test("paths of a service in another file start at the directory of that file", () => {
    const files = {
      "common/base.yaml":
        "services: { base: { image: a, volumes: ['./data:/data'], extends: root }, root: { tty: true } }",
    };
    const text = "services: { web: { extends: { file: common/base.yaml, service: base } } }";
    expect(services(text, { files })).toMatchObject({
      web: { image: "a", tty: true, volumes: [{ source: "/project/common/data" }] },
    });
  });

  test("missing files, undefined services and cycles are errors where extends is written", () => {
    const text = `services:
  a: { image: a, extends: { file: none.yaml, service: b } }
  b: { image: a, extends: bsae }
  base: { image: a }
  c: { image: a, extends: d }
  d: { image: a, extends: c }
`;
    expect(resolveText(text).messages).toMatchInlineSnapshot(`
      [
        "c.yaml:2:27: services.a.extends: no such file: none.yaml",
        "c.yaml:3:27: services.b.extends: undefined service "bsae"; did you mean "base"?",
        "c.yaml:6:27: services.d.extends: extends cycle: c -> d -> c",
      ]
    `);
  });

  test("an error in another file has the position in that file", () => {
    const files = { "base.yaml": "services:\n  base:\n    image: a\n    prots: []\n" };
    const { messages } = resolveText("services: { web: { extends: { file: base.yaml, service: base } } }", {
      files,
    });
    expect(messages).toEqual([
      'base.yaml:4:5: services.base.prots: unknown key "prots"; did you mean "ports"?',
    ]);
  });
});

describe("include", () => {
  test("adds the parts of other files, which the file overrides", () => {
    const files = {
      "db/compose.yaml": `services: { db: { image: "db:\${TAG}", env_file: db.env, volumes: ["data:/data"] } }
volumes: { data: }
`,
      "db/.env": "TAG=7\n",
      "db/db.env": "A=1\n",
    };
    const text = "include: [db/compose.yaml]\nservices: { web: { image: w }, db: { tty: true } }\n";
    const { project, messages } = resolveText(text, { files });
    expect(messages).toEqual([]);
    expect(project).toMatchObject({
      services: { web: { image: "w" }, db: { image: "db:7", tty: true, environment: { A: "1" } } },
      volumes: { data: { name: "t_data" } },
    });
  });

  test("project_directory and env_file replace the defaults", () => {
    const files = {
      "parts/a.yaml": 'services: { a: { image: "a:${TAG}", volumes: ["./x:/x"] } }',
      "tags.env": "TAG=9\n",
    };
    const text = "include: [{ path: [parts/a.yaml], project_directory: ., env_file: tags.env }]\n";
    expect(services(text, { files })).toMatchObject({
      a: { image: "a:9", volumes: [{ source: "/project/x" }] },
    });
  });

  test("cycles, missing and remote files are errors", () => {
    const files = { "a.yaml": "include: [c.yaml]\nservices: { a: { image: a } }\n" };
    const text = "include: [a.yaml, none.yaml, 'oci://example/x']\nservices: { web: { image: w } }\n";
    expect(resolveText(text, { files }).messages).toMatchInlineSnapshot(`
      [
        "a.yaml:1:11: include: include cycle: c.yaml -> a.yaml -> c.yaml",
        "c.yaml:1:19: include: no such file: none.yaml",
        "c.yaml:1:30: include: "oci://example/x" is remote; copy the file next to this one",
      ]
    `);
  });
});

test("a file of format version 1 is converted", () => {
  const text = `web:
  build: .
  dockerfile: Dockerfile.web
  net: "container:db"
  log_driver: json-file
  log_opt: { max-size: 10m }
db: { image: db }
`;
  const { project, messages } = resolveText(text);
  expect(messages).toEqual([
    "c.yaml:1:1: warning: the file has Compose file format 1; put the services under services:",
  ]);
  expect(project.services).toMatchObject({
    web: {
      build: { context: "/project", dockerfile: "Dockerfile.web" },
      network_mode: "service:db",
      logging: { driver: "json-file", options: { "max-size": "10m" } },
      depends_on: { db: { condition: "service_started" } },
    },
    db: { image: "db" },
  });
});

test("the canonical form of a resolved project is the project itself", () => {
  const text = `name: t
services:
  web:
    image: a
    command: echo 'a b'
    ports: ["127.0.0.1:8000-8001:80-81/udp", 90]
    volumes: ["./a:/a:ro,z", "data:/d:nocopy", /anonymous]
    environment: [A=1, B]
    extra_hosts: { h: [10.0.0.2, "::1"] }
    devices: [/dev/fuse]
    ulimits: { nofile: 100, nproc: { soft: 1, hard: 2 } }
    healthcheck: { test: "true", interval: 90s }
    mem_limit: 64m
    secrets: [key]
    depends_on: [db]
    gpus: all
  db: { image: b }
volumes: { data: }
secrets: { key: { file: ./key } }
`;
  const first = resolveText(text);
  expect(first.messages).toEqual([]);
  const second = resolveText(JSON.stringify(first.project));
  expect(second).toEqual(first);
});
