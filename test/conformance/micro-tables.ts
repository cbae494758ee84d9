import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { PlainValue } from "../../packages/cli/src/compose/model/render-project.js";
import { firstDifference } from "./compare-values.js";
import { load } from "./load.js";
import { type Difference, type Section, sectionOf } from "./report.js";

/** A row of a table: a small input and the output of Docker Compose for it. */
interface Row {
  readonly in?: string;
  readonly yaml?: string;
  readonly key?: string;
  readonly cpus?: string;
  readonly name?: string;
  readonly text?: string;
  readonly file?: string;
  readonly compose?: unknown;
  readonly compose_error?: string;
}

/** How to turn a table's rows into Compose files, and which part of the result to compare. */
interface Table {
  readonly fileOf: (row: Row) => string;
  readonly resultOf: (project: Readonly<Record<string, PlainValue>>, row: Row) => unknown;
}

/** In a table, stands for a key that Docker Compose does not print. */
const ABSENT = "∅";
/** Directory of the project, which the tables abbreviate to /project. */
const PROJECT = "/parent/project";
const ENVIRONMENT = {
  FOO: "first",
  BAR: "",
  N: "3",
  T: "true",
  JSON: '{"json":2}',
  A_B1: "ab",
  DOLLAR: "a$b",
  url: "http://h:1/?q=1",
};
const DECLARATIONS =
  "secrets: {sec: {file: ./sec}}\nconfigs: {cfg: {file: ./cfg}}\nnetworks: {n: , first: }\n";

function serviceFile(lines: string, extra = ""): string {
  return `services:\n  s:\n    image: a\n    ${lines}\n  b:\n    image: b\n${extra}`;
}

function service(project: Readonly<Record<string, PlainValue>>): Readonly<Record<string, unknown>> {
  const services = project.services as Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  return services.s ?? {};
}

function inService(key: string, write: (row: Row) => string): Table {
  return {
    fileOf: (row) => serviceFile(`${key}: ${write(row)}`, "volumes: {datavolume: }\n"),
    resultOf: (project) => service(project)[key],
  };
}

const quoted = (row: Row): string => JSON.stringify(row.in ?? "");
const written = (row: Row): string => row.yaml ?? quoted(row);

const TABLES: Readonly<Record<string, Table>> = {
  command: inService("command", written),
  healthcheck: inService("healthcheck", written),
  ports: inService("ports", (row) => `[${written(row)}]`),
  volumes: inService("volumes", (row) => `[${written(row)}]`),
  durations: {
    fileOf: (row) => serviceFile(`healthcheck: {test: x, interval: ${durationOf(row.in ?? "")}}`),
    resultOf: (project) => (service(project).healthcheck as { interval?: unknown } | undefined)?.interval,
  },
  "sizes-cpus": {
    fileOf: (row) => serviceFile(`deploy: {resources: {limits: {${limitOf(row)}}}}`),
    resultOf: (project, row) => {
      const deploy = service(project).deploy as
        | { resources?: { limits?: Record<string, unknown> } }
        | undefined;
      return deploy?.resources?.limits?.[row.in === undefined ? "cpus" : "memory"] ?? null;
    },
  },
  interpolation: {
    fileOf: (row) => serviceFile(`labels: {k: ${quoted(row)}}`),
    resultOf: (project) => (service(project).labels as { k?: unknown } | undefined)?.k,
  },
  "interpolation-typed": {
    fileOf: (row) => serviceFile(row.in ?? "", DECLARATIONS),
    resultOf: (project, row) => typedResult(service(project), row.in ?? ""),
  },
  "environment-list": {
    fileOf: (row) => serviceFile(`environment:\n      - ${row.yaml ?? ""}`),
    resultOf: (project) => service(project).environment,
  },
  "yaml-scalars-env": {
    fileOf: (row) => serviceFile(`environment:\n      K: ${row.yaml ?? ""}`),
    resultOf: (project) => (service(project).environment as { K?: unknown } | undefined)?.K ?? null,
  },
  "yaml-scalars-label": {
    fileOf: (row) => serviceFile(`labels:\n      K: ${row.yaml ?? ""}`),
    resultOf: (project) => (service(project).labels as { K?: unknown } | undefined)?.K,
  },
  env_file: {
    fileOf: () => serviceFile("env_file: f.env"),
    resultOf: (project) => service(project).environment ?? {},
  },
  "service-keys": {
    fileOf: (row) => serviceKeyFile(row),
    resultOf: (project, row) => service(project)[row.key ?? ""],
  },
  "top-level": {
    fileOf: (row) => topLevelFile(row),
    resultOf: (project, row) => project[row.key ?? ""],
  },
  errors: { fileOf: (row) => row.file ?? "", resultOf: () => "accepted" },
};

/** Intended differences by row: berth's behavior is better for users. */
const INTENDED: Readonly<Record<string, string>> = {
  "service-keys {a: 1}": "Compose omits service extensions from its JSON",
  "interpolation-typed x-foo: ${N}": "Compose omits service extensions from its JSON",
  "top-level 3": "the obsolete version is ignored",
  "top-level 3.8": "the obsolete version is ignored",
  "errors numeric version": "the obsolete version is ignored",
  "yaml-scalars-label 2001-12-14": "a date is text",
  "yaml-scalars-label 2001-12-14T21:59:43.10-05:00": "a date is text",
  "yaml-scalars-env 2001-12-14T21:59:43.10-05:00": "a date is text",
};

/** Compares all rows of the tables. */
export function compareTables(directory: string): Section {
  const outcomes = Object.entries(TABLES).flatMap(([name, table]) => {
    const path = join(directory, "conformance/tables", `${name}.json`);
    const { rows } = JSON.parse(readFileSync(path, "utf8")) as { readonly rows: readonly Row[] };
    return rows.map((row) => compareRow(name, table, row));
  });
  return sectionOf("conformance.micro", 1, outcomes);
}

function compareRow(table: string, { fileOf, resultOf }: Table, row: Row): Difference | undefined {
  const input = row.in ?? row.yaml ?? row.name ?? "";
  const name = `${table} ${row.key === undefined ? "" : `${row.key}: `}${input}`;
  const file = Buffer.from(fileOf(row));
  const outcome = load({
    stack: "t",
    paths: [`${PROJECT}/c.yaml`],
    environment: ENVIRONMENT,
    read: (path) => readTableFile(path, file, row),
  });
  const reason = differenceOf(row, outcome.kind === "rejected" ? outcome : resultOf(outcome.project, row));
  if (reason === undefined) return undefined;
  const intended = INTENDED[`${table} ${input}`];
  return intended === undefined ? { name, reason } : { name, reason, intended };
}

function differenceOf(row: Row, result: unknown): string | undefined {
  const rejection = isRejection(result) ? result.message : undefined;
  if (row.compose_error !== undefined) {
    return rejection === undefined ? `accepted; Compose: ${row.compose_error}` : undefined;
  }
  if (rejection !== undefined) return `rejected: ${rejection}`;
  const expected = row.compose === ABSENT ? undefined : unescaped(row.compose);
  return firstDifference({ value: expected }, { value: unescaped(result) });
}

function isRejection(value: unknown): value is { readonly kind: "rejected"; readonly message: string } {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "rejected";
}

/** Replaces doubled dollar signs and the project's directory as in the tables. */
function unescaped(value: unknown): unknown {
  const text = JSON.stringify(value ?? null) ?? "null";
  return JSON.parse(text.replaceAll("$$", "$").replaceAll(PROJECT, "/project"));
}

function readTableFile(path: string, file: Uint8Array, row: Row): Uint8Array | undefined {
  if (path === `${PROJECT}/c.yaml`) return file;
  if (path === `${PROJECT}/f.env` && row.text !== undefined) return Buffer.from(row.text);
  return undefined;
}

function durationOf(text: string): string {
  return text.endsWith(" (int)") || text.startsWith('"') ? text.replace(" (int)", "") : JSON.stringify(text);
}

function limitOf(row: Row): string {
  if (row.in === undefined) return `cpus: ${row.cpus ?? ""}`;
  return `memory: ${row.in.endsWith(" (int)") ? row.in.replace(" (int)", "") : JSON.stringify(row.in)}`;
}

function serviceKeyFile({ key = "", yaml = "" }: Row): string {
  if (key === "image") return `services:\n  s:\n    image: ${yaml}\n`;
  return serviceFile(`${key}: ${yaml}`, DECLARATIONS);
}

/** Returns a file with a top-level key and a service that uses its entry, because Compose omits unused entries. */
function topLevelFile({ key = "", yaml = "" }: Row): string {
  const uses: Readonly<Record<string, string>> = {
    networks: "networks: [n]",
    secrets: "secrets: [k]",
    configs: "configs: [k]",
  };
  return `services:\n  s:\n    image: a\n    ${uses[key] ?? "tty: false"}\n${key}: ${yaml}\n`;
}

/** Returns the value of the key that a row sets. */
function typedResult(values: Readonly<Record<string, unknown>>, input: string): unknown {
  const key = /^([\w-]+):/.exec(input)?.[1] ?? "";
  const value = values[key];
  const isReplicas = key === "deploy" && input.includes("replicas");
  return isReplicas ? (value as { replicas?: unknown } | undefined)?.replicas : value;
}
