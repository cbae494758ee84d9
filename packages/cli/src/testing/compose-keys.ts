import { assertNever } from "@berth/proto";
import type { ServiceBuild } from "../compose/keys/service-build.js";
import { loadProject, loadStack, type ProjectInput } from "../compose/load-stack.js";
import { projectShape } from "../compose/model/project-shape.js";
import type { Example, KeyDocumentation, ValueSchema } from "../compose/model/shapes/value-schema.js";
import type { Diagnostic } from "../compose/text/diagnostics.js";
import { textOf } from "../compose/tree/node.js";

/** Sections whose entries have one of several sources, so that an example replaces the entry of the sample. */
const REPLACED_SECTIONS = ["secrets", "configs"];

/** A key of a Compose file, with what the reader does with it. */
export interface DocumentedKey {
  /** For example `services.*.ports[].target`. */
  readonly path: string;
  readonly about: KeyDocumentation;
  readonly support: Support;
  /** What the reader says about the other examples, by their JSON. */
  readonly exceptions: ReadonlyMap<string, Support>;
  /** The files with an example that the reader accepts. */
  readonly acceptedFiles: readonly Example[];
}

/** What the reader does with an example of a key. */
export interface Support {
  /** `parent`: the mapping that contains the key is not supported. `none`: the key changes nothing. */
  readonly kind: "refused" | "ignored" | "noted" | "honored" | "parent" | "none";
  /** What the reader prints, if anything. */
  readonly message: string;
}

/** A step from the root of a file to a key. `item` is any item of a list, and `entry` any entry of a mapping. */
type Step =
  | {
      readonly kind: "key";
      readonly name: string;
      /** Keys without which the example is not valid. */
      readonly siblings: Readonly<Record<string, Example>>;
      /** Whether the mapping is not valid without the key. */
      readonly isRequired: boolean;
    }
  | { readonly kind: "item" }
  | {
      readonly kind: "entry";
      readonly name: string;
      /** Other keys of the entry that the example needs. */
      readonly keys?: Readonly<Record<string, Example>>;
    };

/** The names in the sample file for the entries of each mapping. */
const SAMPLE_NAMES: Readonly<Record<string, string>> = {
  services: "web",
  networks: "front",
  volumes: "data",
  secrets: "key",
  configs: "conf",
  depends_on: "db",
  ulimits: "nofile",
  models: "llm",
};
/** A valid file to which each example is added. The service `db` uses all other parts, since unused parts are not created. */
const SAMPLE_FILE: Example = {
  services: {
    web: { image: "nginx" },
    db: {
      image: "postgres",
      user: "postgres",
      networks: ["front"],
      volumes: ["data:/var/lib/postgresql"],
      secrets: ["key"],
      configs: ["conf"],
    },
  },
  networks: { front: { ipam: { config: [{ subnet: "10.99.0.0/18" }] } } },
  volumes: { data: null },
  secrets: { key: { file: "web.env" } },
  configs: { conf: { file: "web.env" } },
};
const FILES: Readonly<Record<string, string>> = {
  "/project/web.env": "A=1\n",
  "/project/other.env": "A=2\n",
  "/project/web.labels": "team=shop\n",
  "/project/base.yaml": "services: { db: { image: mariadb, user: mysql } }\n",
};

/** Returns all keys of Compose files in the order of their shapes. Asks the reader about the examples of each. */
export function listComposeKeys(): readonly DocumentedKey[] {
  return keysOf(projectShape.schema, []);
}

function keysOf(schema: ValueSchema, steps: readonly Step[]): readonly DocumentedKey[] {
  switch (schema.kind) {
    case "scalar":
    case "anything":
    case "nothing":
      return [];
    case "list":
      return keysOf(schema.items, [...steps, { kind: "item" }]);
    case "dictionary": {
      const parent = steps.at(-1);
      const name = parent?.kind === "key" ? (SAMPLE_NAMES[parent.name] ?? "name") : "name";
      return keysOf(schema.values, [...steps, { kind: "entry", name }]);
    }
    case "choice":
      return schema.options.flatMap((option) => keysOf(option, steps));
    case "map":
      return Object.entries(schema.keys).flatMap(([name, key]) => {
        const required = schema.required
          .filter((sibling) => sibling !== name)
          .map((sibling) => [sibling, schema.keys[sibling]?.about.example ?? null] as const);
        const siblings = { ...Object.fromEntries(required), ...key.about.with };
        const isRequired = schema.required.includes(name);
        const path: readonly Step[] = [...steps, { kind: "key", name, siblings, isRequired }];
        return [documentKey(path, key.about), ...keysOf(key.schema, path)];
      });
    default:
      return assertNever(schema);
  }
}

function documentKey(path: readonly Step[], about: KeyDocumentation): DocumentedKey {
  const steps = withServiceKeys(path, about.inService);
  const answer = askReader(steps, about.example);
  const others = (about.others ?? []).map((example) => askReader(steps, example));
  const exceptions = others.map(({ example, support }) => [JSON.stringify(example), support] as const);
  return {
    path: pathOf(steps),
    about,
    support: answer.support,
    exceptions: new Map(exceptions),
    acceptedFiles: [answer, ...others].filter(({ isAccepted }) => isAccepted).map(({ file }) => file),
  };
}

/** Adds keys to the service of a path, which is its first entry. */
function withServiceKeys(path: readonly Step[], keys: KeyDocumentation["inService"]): readonly Step[] {
  const service = path.findIndex(({ kind }) => kind === "entry");
  return path.map((step, index) =>
    step.kind === "entry" && index === service && keys !== undefined ? { ...step, keys } : step,
  );
}

function pathOf(steps: readonly Step[]): string {
  return steps
    .map((step) => (step.kind === "key" ? `.${step.name}` : step.kind === "item" ? "[]" : ".*"))
    .join("")
    .slice(1);
}

/** What the reader says about an example of a key. */
interface Answer {
  readonly example: Example;
  /** The sample file with the example. */
  readonly file: Example;
  readonly isAccepted: boolean;
  readonly support: Support;
}

/** Reads the sample file with an example of a key and without the key. */
function askReader(steps: readonly Step[], example: Example): Answer {
  const file = sampleWith(steps, example);
  const without = load(sampleWith(steps, undefined));
  const loaded = load(file);
  const isAccepted = loaded.diagnostics.every(({ severity }) => severity !== "error");
  return { example, file, isAccepted, support: compareResults(without, loaded) };
}

function compareResults(without: Loaded, { diagnostics, result }: Loaded): Support {
  const known = new Set(without.diagnostics.map(({ message }) => message));
  const own = summarize(diagnostics.filter(({ message }) => !known.has(message)));
  if (own !== undefined) return own;
  if (result !== without.result) return { kind: "honored", message: "" };
  const parent = summarize(without.diagnostics);
  return parent === undefined ? { kind: "none", message: "" } : { kind: "parent", message: "" };
}

/** Returns the most severe problem. */
function summarize(diagnostics: readonly Diagnostic[]): Support | undefined {
  const error = diagnostics.find(({ severity }) => severity === "error");
  if (error !== undefined) return { kind: "refused", message: error.message };
  const ignored = diagnostics.find(({ isSettingIgnored }) => isSettingIgnored);
  if (ignored !== undefined) return { kind: "ignored", message: ignored.message };
  const [note] = diagnostics;
  return note && { kind: "noted", message: note.message };
}

/** The result of reading a file: its diagnostics, and what it deploys as JSON. */
interface Loaded {
  readonly diagnostics: readonly Diagnostic[];
  readonly result: string;
}

function load(sample: Example): Loaded {
  const bytes = Buffer.from(JSON.stringify(sample));
  const input: ProjectInput = {
    files: [{ name: "compose.yaml", path: "/project/compose.yaml", bytes }],
    envFiles: [],
    environment: { A: "1" },
    homeDirectory: "/home/user",
    readFile: (path) => (FILES[path] === undefined ? undefined : Buffer.from(FILES[path])),
  };
  const stack = textOf(loadProject(input).project?.root, "name") ?? "";
  const { specs, networks, builds, files, diagnostics } = loadStack({ ...input, stack });
  return { diagnostics, result: JSON.stringify([specs, networks, settingsOf(builds), files]) };
}

/** Returns the builds without their places, which differ with any key. */
function settingsOf(builds: readonly ServiceBuild[]): readonly Omit<ServiceBuild, "places">[] {
  return builds.map(({ places: _, ...build }) => build);
}

/** Returns the sample file with a value at the end of the steps. Without a value, only its siblings are there. */
function sampleWith(steps: readonly Step[], value: Example | undefined): Example {
  const added = steps.reduceRight<Example | undefined>((inner, step) => {
    switch (step.kind) {
      case "item":
        return inner === undefined ? undefined : [inner];
      case "entry": {
        const entry = step.keys === undefined ? inner : merge(step.keys, inner ?? {});
        return entry === undefined ? undefined : { [step.name]: entry };
      }
      case "key": {
        if (inner === undefined && step.isRequired) return undefined;
        const field = inner === undefined ? {} : { [step.name]: inner };
        const fields = { ...step.siblings, ...field };
        return Object.keys(fields).length === 0 ? undefined : fields;
      }
      default:
        return assertNever(step);
    }
  }, value);
  return added === undefined ? SAMPLE_FILE : merge(SAMPLE_FILE, added);
}

/** Merges mappings. Any other value replaces the value in the sample. */
function merge(base: Example, added: Example): Example {
  if (!isMapping(base) || !isMapping(added)) return added;
  const merged: Record<string, Example> = { ...base };
  for (const [key, value] of Object.entries(added)) {
    const isReplaced = REPLACED_SECTIONS.includes(key);
    merged[key] = isReplaced ? value : merge(base[key] ?? null, value);
  }
  return merged;
}

function isMapping(value: Example): value is { readonly [key: string]: Example } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
