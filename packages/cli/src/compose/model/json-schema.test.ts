// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose writes its variables like this
import { readdirSync, readFileSync } from "node:fs";
import { Ajv } from "ajv";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { listComposeKeys } from "../../testing/compose-keys.js";
import { loadText } from "../../testing/load-text.js";
import { composeJsonSchema } from "./json-schema.js";

const STACKS = new URL("../../../../../deploy/stacks/", import.meta.url);

/** The schema as another program reads it. Unknown keywords and types are errors. */
const validate = new Ajv({ strict: true, allowUnionTypes: true }).compile(composeJsonSchema());

/** Returns the first problem of a parsed file, or undefined if the schema accepts it. */
function schemaProblem(file: unknown): string | undefined {
  if (validate(file)) return undefined;
  const [error] = validate.errors ?? [];
  return `${error?.instancePath} ${error?.message}`;
}

/** Returns whether the reader reports an error. Warnings do not count. */
function isRefused(text: string): boolean {
  const { messages } = loadText(text);
  return messages.some((message) => !/^\S+ warning: /.test(message));
}

/** Returns a file with one service and these lines. */
function web(lines: string): string {
  return `services:\n  web:\n    image: nginx\n${lines.replaceAll(/^/gm, "    ")}\n`;
}

test("the schema accepts the examples of all keys that the reader accepts", () => {
  const problems = listComposeKeys().flatMap(({ path, acceptedFiles }) =>
    acceptedFiles.flatMap((file) => {
      const problem = schemaProblem(file);
      return problem === undefined ? [] : [{ path, problem }];
    }),
  );
  expect(problems).toEqual([]);
});

test.each(readdirSync(STACKS))("the schema accepts the example stack %s", (name) => {
  const text = readFileSync(new URL(`${name}/compose.yml`, STACKS), "utf8");
  expect(schemaProblem(parse(text, { merge: true }))).toBeUndefined();
});

test.each([
  ["an unquoted number of replicas and a quoted one", web('scale: 2\ndeploy: { replicas: "2" }')],
  ["short and long ports", web('ports: [80, "8080:80", "53:53/udp", { target: 80, published: "8080" }]')],
  ["short and long mounts", web("volumes: [/data, ./a:/b:ro, { type: tmpfs, target: /tmp }]")],
  [
    "variables in place of numbers and booleans",
    web('init: "${INIT:-true}"\nstop_grace_period: "${GRACE:-10s}"'),
  ],
  ["texts of booleans", web('tty: "yes"\nread_only: "off"')],
  ["sizes and CPUs as numbers and as text", web('shm_size: 1024\nmem_limit: 64m\ncpus: 0.5\ncpu_count: "2"')],
  ["a command as text and an empty entrypoint", web("command: serve --port 80\nentrypoint: []")],
  ["a health check as text and as a list", web("healthcheck: { test: [CMD, check], interval: 1m30s }")],
  [
    "environment variables as a list and labels as a mapping",
    web("environment: [A=1, B]\nlabels: { a: 1, b: true }"),
  ],
  [
    "dependencies as a mapping",
    `${web("depends_on: { db: { condition: service_started, required: false } }")}  db: { image: postgres }\n`,
  ],
  ["extensions in every mapping", `${web("x-a: [1]\ndeploy: { x-b: null }")}x-c: { any: thing }\n`],
  ["merged mappings and aliases", `x-a: &a { init: true }\n${web("<<: *a")}`],
])("the schema and the reader accept %s", (_, text) => {
  expect({ isRefused: isRefused(text), problem: schemaProblem(parse(text, { merge: true })) }).toEqual({
    isRefused: false,
    problem: undefined,
  });
});

test.each([
  ["an unknown key of a service", web("prots: [80]")],
  ["an unknown key at the top level", "service: { web: { image: a } }\nservices: { web: { image: a } }\n"],
  ["an unknown key of deploy", web("deploy: { replica: 2 }")],
  ["an unknown key of a health check", web("healthcheck: { tests: [CMD, a] }")],
  ["an unknown key of x-berth", web("x-berth: { failover_after: 1s }")],
  ["services as a list", "services: [{ image: a }]\n"],
  ["a service that is text", "services: { web: nginx }\n"],
  ["a list at the top level", "- services\n"],
  ["ports that are a number", web("ports: 80")],
  ["ports that are a mapping", web("ports: { 80: 8080 }")],
  ["a long port without a target", web("ports: [{ published: 80 }]")],
  ["an image that is a number", "services: { web: { image: 1 } }\n"],
  ["a user that is a number", web("user: 1000")],
  ["a number of retries that is a word", web("healthcheck: { test: [CMD, a], retries: three }")],
  ["a boolean that is a word", web("privileged: maybe")],
  [
    "a condition of a dependency that does not exist",
    web("depends_on: { db: { condition: service_ready } }"),
  ],
  ["a dependency without a condition", web("depends_on: { db: { required: false } }")],
  ["a command that is a mapping", web("command: { run: a }")],
  ["labels that are text", web("labels: a=b")],
  ["environment variables that are lists", web("environment: { A: [1] }")],
  ["a type of mounts that does not exist", web("volumes: [{ type: disk, target: /a }]")],
  ["the same dependency twice", web("depends_on: [db, db]")],
  ["a network that is a list", `${web("networks: [front]")}networks: { front: [] }\n`],
])("the schema and the reader refuse %s", (_, text) => {
  const isRefusedBySchema = schemaProblem(parse(text, { merge: true })) !== undefined;
  expect({ reader: isRefused(text), schema: isRefusedBySchema }).toEqual({ reader: true, schema: true });
});
