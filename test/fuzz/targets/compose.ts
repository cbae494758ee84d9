// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose writes its variables like this
import {
  findPlaceholderProblems,
  MAX_PORTS_PER_SERVICE,
  validateFileContent,
  validateServiceSpec,
} from "@berth/proto";
import { loadStack } from "../../../packages/cli/src/compose/load-stack.js";
import { Diagnostics } from "../../../packages/cli/src/compose/text/diagnostics.js";
import { parseEnvFile } from "../../../packages/cli/src/compose/text/env-file.js";
import { formatDiagnostic } from "../../../packages/cli/src/compose/text/format-diagnostics.js";
import { splitShellWords } from "../../../packages/cli/src/compose/text/shell-words.js";
import { parseShortMount } from "../../../packages/cli/src/compose/text/short-mount.js";
import { parseShortPorts } from "../../../packages/cli/src/compose/text/short-port.js";
import { decodeSource } from "../../../packages/cli/src/compose/text/source.js";
import { interpolate } from "../../../packages/cli/src/compose/text/template.js";
import { check, isTypedError, unlessRejected } from "../engine/expect.js";
import type { Target } from "../engine/target.js";
import { readExampleStacks } from "./fixtures.js";

/** A service with most keys. */
const SERVICE = `services:
  web: &web
    image: "nginx:\${TAG:-1.27}"
    command: sh -c 'exec nginx'
    ports: ["8080:80", {target: 443, published: "8443", protocol: tcp}]
    volumes: ["data:/data:ro", {type: tmpfs, target: /tmp, tmpfs: {size: 64m}}]
    environment: {A: "1", B: }
    env_file: [{path: web.env, required: false}]
    networks: {front: {aliases: [w]}}
    healthcheck: {test: [CMD, "true"], interval: 1m30s, retries: 3}
    deploy:
      replicas: 2
      placement: {constraints: [node.labels.zone == a], preferences: [{spread: node.labels.rack}]}
      resources: {limits: {cpus: "0.5", memory: 512M}, reservations: {generic_resources: []}}
      update_config: {parallelism: 2, order: start-first, max_failure_ratio: 0.2}
      restart_policy: {condition: on-failure, delay: 5s}
    depends_on: {db: {condition: service_healthy}}
    ulimits: {nofile: {soft: 1, hard: 2}}
    labels: [a=b]
    secrets: [key, {source: ext, target: e/x, uid: "1", gid: 2, mode: 0440}]
    configs: [conf, {source: template, target: /etc/t, mode: "0600"}]
    x-berth: {autoscale: {min: 1, max: 3, cpu: 70}, cron: {schedule: "@daily"}}
  db:
    <<: *web
    image: !reset null
volumes: {data: {driver: local, name: d}}
networks: {front: {driver: overlay, ipam: {config: [{subnet: 10.64.0.0/18}]}}}
secrets: {key: {file: ./a.env, labels: {a: b}}, ext: {external: true, name: e}}
configs: {conf: {environment: A}, template: {content: "{{.Task.ID}}", template_driver: golang, name: n}}
`;
const TOKENS = [
  "<<: *web",
  "&a [*a]",
  "!override",
  "!reset",
  "${A:?e}",
  "$$",
  "? ",
  "- ",
  ": ",
  "|\n",
  "---\n",
  "1-65535",
];
/** Maximum number of diagnostics for one input. */
const MAX_DIAGNOSTICS = 2_000;
/** Text in every file that a Compose file can refer to. No message may contain it. */
const HIDDEN_TEXT = "hidden-content";
const FILE_CONTENT = `A=${HIDDEN_TEXT}\n`;
const LOOKUP: Readonly<Record<string, string>> = { TAG: "1", EMPTY: "", A: "a" };

export const COMPOSE_TARGETS: readonly Target[] = [
  {
    name: "compose",
    seeds: [SERVICE, ...readExampleStacks()],
    tokens: TOKENS,
    run: (bytes) => load([bytes], Buffer.alloc(0)),
  },
  {
    name: "compose-override",
    seeds: [
      `${SERVICE}\0${SERVICE}`,
      `${SERVICE}\0services: {web: {ports: !override [80], deploy: {replicas: 3}}}\n`,
    ],
    tokens: TOKENS,
    run: (bytes) => {
      const end = bytes.indexOf(0);
      const files = end < 0 ? [bytes] : [bytes.subarray(0, end), bytes.subarray(end + 1)];
      load(files, Buffer.alloc(0));
    },
  },
  {
    name: "env-file",
    seeds: [
      "A=1\nexport B = 'x y' # comment\nC=\"a\\n$A ${B:-d}\"\nD: yaml\nE\n",
      "A=aaaaaaaa\nB=$A$A\nC=$B$B\nD=$C$C\nE=$D$D\n",
    ],
    tokens: ["export ", "${A:-", "$A$A", "\\$", '"', "'"],
    maxBytes: 64 * 1024,
    run: (bytes) => {
      const source = unlessRejected(() => decodeSource(".env", bytes));
      if (source === undefined) return;
      for (const format of ["compose", "raw"] as const) {
        const diagnostics = new Diagnostics();
        const values = parseEnvFile(source, { lookup: (name) => LOOKUP[name], diagnostics, format });
        for (const value of values.values()) check(value.length <= MAX_VALUE_LENGTH, "a value is bounded");
      }
      load([Buffer.from(SERVICE)], bytes);
    },
  },
  {
    name: "template",
    seeds: ["${A:-${B:?missing}} $A $$ ${TAG+x}", "{${A-{}}"],
    tokens: ["${A:-", "${", "}", "$$", "${TAG+"],
    maxBytes: 64 * 1024,
    run: (bytes) => {
      const result = interpolate(bytes.toString(), (name) => LOOKUP[name]);
      if (result.kind === "text") check(result.text.length <= MAX_VALUE_LENGTH, "the result is bounded");
      else check(result.message.length <= MAX_VALUE_LENGTH, "the message is bounded");
    },
  },
  {
    name: "short-forms",
    seeds: ["127.0.0.1:8000-8010:80-90/udp", "[::1]:80:80", "data:/var/lib/data:ro,nocopy", "C:\\data:/data"],
    tokens: ["1-65535", "/udp", ":ro"],
    maxBytes: 64 * 1024,
    run: (bytes) => {
      const text = bytes.toString();
      const ports = parseShortPorts(text);
      if (ports.kind === "value")
        check(ports.value.ports.length <= MAX_PORTS_PER_SERVICE, "the number of ports is bounded");
      parseShortMount(text);
    },
  },
  {
    name: "placeholders",
    seeds: ['{{.Task.Slot}} {{ .Node.Hostname }} {{env "A"}} }} {{', "{{{.Task.ID}}}{{}}"],
    tokens: ["{{", "}}", ".Service.Name"],
    maxBytes: 64 * 1024,
    run: (bytes) => {
      const template = bytes.toString();
      for (const { start, end, message } of findPlaceholderProblems(template, 100)) {
        check(template.startsWith("{{", start) && end > start, "a problem is at a placeholder");
        check(message.length <= 1_000, "the message is bounded");
      }
    },
  },
  {
    name: "shell-words",
    seeds: [`sh -c 'echo "a"' "b\\"c" d\\ e; rm`, "a && b | c > d"],
    maxBytes: 64 * 1024,
    run: (bytes) => {
      const text = bytes.toString();
      const result = splitShellWords(text);
      if (result.kind === "invalid") return;
      const length = result.words.reduce((sum, word) => sum + word.length, result.ignored.length);
      check(length <= text.length, "words come from the line");
    },
  },
];

const MAX_VALUE_LENGTH = 1024 * 1024;

/**
 * Loads Compose files and an env file. Checks that problems have positions, and that specs are valid if there are no
 * errors.
 */
function load(files: readonly Buffer[], env: Buffer): void {
  const loaded = unlessRejected(
    () =>
      loadStack({
        stack: "shop",
        files: files.map((bytes, index) => ({
          name: `c${index}.yaml`,
          path: `/project/c${index}.yaml`,
          bytes,
        })),
        envFiles: [{ name: ".env", path: "/project/.env", bytes: env }],
        environment: {},
        homeDirectory: "/home/user",
        readFile: (path) => (path.endsWith(".env") ? Buffer.from(FILE_CONTENT) : undefined),
      }),
    isTypedError,
  );
  if (loaded === undefined) return;
  check(loaded.diagnostics.length <= MAX_DIAGNOSTICS, "the number of messages is bounded");
  for (const diagnostic of loaded.diagnostics) {
    const message = formatDiagnostic(diagnostic);
    check(/^[^:]*:\d+:\d+: /.test(message), "a message has a position");
    check(!message.includes(HIDDEN_TEXT), "a message does not contain the content of a secret");
  }
  if (loaded.diagnostics.some(({ severity }) => severity === "error")) return;
  for (const file of loaded.files) {
    check(validateFileContent(file).length === 0, "a secret or config without errors is valid");
    const template = file.isTemplate ? Buffer.from(file.content).toString() : "";
    check(findPlaceholderProblems(template, 1).length === 0, "a template has only supported placeholders");
  }
  for (const spec of loaded.specs) {
    const [violation] = validateServiceSpec(spec);
    check(
      violation === undefined,
      `a stack without errors is valid: ${violation?.path}: ${violation?.message}`,
    );
  }
}
