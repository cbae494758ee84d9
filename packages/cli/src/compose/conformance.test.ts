import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadStack } from "./load-stack.js";
import { Diagnostics } from "./text/diagnostics.js";
import { parseEnvFile } from "./text/env-file.js";
import { splitShellWords } from "./text/shell-words.js";
import { parseShortPorts } from "./text/short-port.js";
import { createSource } from "./text/source.js";
import { interpolate } from "./text/template.js";
import { parseDurationMs } from "./text/units.js";

/**
 * A folder with `corpus/` (real Compose files and INDEX.tsv) and `conformance/tables/` (inputs with Docker
 * Compose's answers). Not part of the project: without it there is nothing to compare with.
 */
const FOLDER = process.env.BERTH_COMPOSE_CONFORMANCE ?? "";
const hasFolder = FOLDER !== "" && existsSync(join(FOLDER, "corpus", "INDEX.tsv"));

/** Errors of berth for what Compose accepts, or finds only when it starts a container. */
const UNSUPPORTED = ["only a config can be a template", "the variable NOPE is not set"];

interface Row {
  readonly key?: string;
  readonly yaml?: string;
  readonly in?: string;
  readonly name?: string;
  readonly text?: string;
  readonly compose?: unknown;
  readonly compose_error?: string;
}

function rows(table: string): readonly Row[] {
  return JSON.parse(readFileSync(join(FOLDER, "conformance", "tables", `${table}.json`), "utf8")).rows;
}

describe.skipIf(!hasFolder)("compared with Docker Compose", () => {
  const env = new Map([
    ["FOO", "first"],
    ["BAR", ""],
    ["N", "3"],
    ["T", "true"],
    ["JSON", '{"json":2}'],
    ["A_B1", "ab"],
    ["DOLLAR", "a$b"],
    ["url", "http://h:1/?q=1"],
  ]);
  const lookup = (name: string): string | undefined => env.get(name);

  test("interpolation", () => {
    for (const row of rows("interpolation")) {
      const result = interpolate(row.in ?? "", lookup);
      expect([row.in, result.kind === "text" ? result.text : null]).toEqual([row.in, row.compose ?? null]);
    }
  });

  test("env files", () => {
    for (const row of rows("env_file").filter(({ compose_error }) => compose_error === undefined)) {
      const diagnostics = new Diagnostics();
      const values = parseEnvFile(createSource("f", row.text ?? ""), {
        lookup,
        diagnostics,
        format: "compose",
      });
      expect([row.name, Object.fromEntries(values)]).toEqual([row.name, row.compose ?? {}]);
    }
  });

  test("command lines", () => {
    for (const row of rows("command").filter((entry) => entry.in !== undefined)) {
      const filled = interpolate(row.in ?? "", lookup);
      const split = splitShellWords(filled.kind === "text" ? filled.text : "");
      expect([row.in, split.kind === "words" ? split.words : null]).toEqual([row.in, row.compose ?? null]);
    }
  });

  test("which ports and durations are good", () => {
    for (const row of rows("ports").filter((entry) => entry.in !== undefined)) {
      const isGood = parseShortPorts(row.in ?? "").kind === "value";
      const isSupported = !/sctp|tcp\/udp/.test(row.in ?? "");
      expect([row.in, isGood]).toEqual([row.in, row.compose_error === undefined && isSupported]);
    }
    for (const row of rows("durations").filter(
      (entry) => entry.in !== undefined && !entry.in.startsWith("-"),
    )) {
      const isGood = parseDurationMs((row.in ?? "").replaceAll('"', "")).kind === "value";
      expect([row.in, isGood]).toEqual([row.in, row.compose_error === undefined]);
    }
  });

  test("secrets and configs", () => {
    const isFile = ({ key }: Row): boolean => key === "secrets" || key === "configs";
    for (const row of rows("service-keys").filter(isFile)) {
      const definitions = `secrets: {sec: {external: true}}\nconfigs: {cfg: {external: true}}`;
      const text = `services: {s: {image: a, ${row.key}: ${row.yaml}}}\n${definitions}\n`;
      const { specs, diagnostics } = loadText(text);
      const mounts = specs.flatMap(({ task }) => task?.container?.files ?? []);
      expect([row.yaml, diagnostics.filter(({ severity }) => severity === "error")]).toEqual([row.yaml, []]);
      const expected = Array.isArray(row.compose) ? row.compose : [];
      const modes = mounts.map(({ mode = 0 }) => Number.parseInt(mode.toString(8), 10));
      expect([row.yaml, modes]).toEqual([row.yaml, expected.map(({ mode = "0444" }) => Number(mode))]);
      const targets = mounts.map(({ target }) => target);
      expect([row.yaml, targets]).toEqual([
        row.yaml,
        expected.map(({ source, target = `/${source}` }) => target),
      ]);
    }
    for (const row of rows("top-level").filter(isFile)) {
      const text = `services: {s: {image: a, ${row.key}: [k]}}\n${row.key}: ${row.yaml}\n`;
      const { files, diagnostics } = loadText(text);
      const errors = diagnostics.filter(({ severity }) => severity === "error").map(({ message }) => message);
      const isGood = errors.every((message) => UNSUPPORTED.some((reason) => message.includes(reason)));
      expect([row.yaml, isGood]).toEqual([row.yaml, row.compose_error === undefined]);
      if (errors.length > 0 || files.length === 0) continue;
      const name = Object.values(row.compose ?? {}).map((file) => file.name);
      expect([row.yaml, files.map((file) => file.name)]).toEqual([row.yaml, name]);
    }
  });

  test("every real file gives specs or errors with places, and files that Compose takes are understood", () => {
    const index = readFileSync(join(FOLDER, "corpus", "INDEX.tsv"), "utf8")
      .trim()
      .split("\n")
      .slice(1);
    for (const line of index) {
      const [name = "", , , , , , expected = ""] = line.split("\t");
      const path = join(FOLDER, "corpus", name);
      const { specs, diagnostics } = loadReal(name, path);
      const errors = diagnostics.filter(({ severity }) => severity === "error");
      expect([name, specs.length + errors.length > 0]).toEqual([name, true]);
      const unknown = errors.filter(({ message }) => message.startsWith("unknown key"));
      if (expected === "valid") expect([name, unknown]).toEqual([name, []]);
    }
    expect(index.length).toBeGreaterThan(100);
  }, 60_000);
});

function loadText(text: string) {
  return loadStack({
    ...{ stack: "t", envFiles: [], environment: { FOO: "first" }, homeDirectory: "/home/user" },
    files: [{ name: "c.yaml", path: "/project/c.yaml", bytes: Buffer.from(text) }],
    readFile: () => Buffer.from("x"),
  });
}

function loadReal(name: string, path: string) {
  const siblings = readdirSync(dirname(path));
  const dotenv = join(dirname(path), ".env");
  return loadStack({
    stack: "t",
    files: [{ name, path, bytes: readFileSync(path) }],
    envFiles: siblings.includes(".env") ? [{ name: ".env", path: dotenv, bytes: readFileSync(dotenv) }] : [],
    environment: {},
    homeDirectory: "/home/user",
    readFile: (wanted) => (existsSync(wanted) ? readFileSync(wanted) : undefined),
  });
}
