import { dirname } from "node:path";
import type { FileContent, NetworkSpec, ServiceSpec } from "@berth/proto";
import type { Project } from "./keys/stack-context.js";
import { readFileContents } from "./read-file-contents.js";
import { type Diagnostic, Diagnostics, findPlace, type Place } from "./text/diagnostics.js";
import { parseEnvFile } from "./text/env-file.js";
import { createSource, decodeSource, type Source } from "./text/source.js";
import type { Lookup } from "./text/template.js";
import { translateStack } from "./translate-stack.js";
import { rootCursor } from "./tree/cursor.js";
import { interpolateTree } from "./tree/interpolate-tree.js";
import { mergeTrees } from "./tree/merge.js";
import type { Node } from "./tree/node.js";
import { parseYaml } from "./tree/parse-yaml.js";

export interface StackInput {
  readonly stack: string;
  /** In the order of the command line. Later files override earlier ones. */
  readonly files: readonly InputFile[];
  /** The `.env` file, or the files of `--env-file`. */
  readonly envFiles: readonly InputFile[];
  /** The environment of the process. Has precedence over the env files. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly homeDirectory: string;
  readonly readFile: Project["readFile"];
  /** Leaves out the contents of secrets and configs, which need not be where a file is only checked. */
  readonly skipsContents?: boolean;
}

export interface InputFile {
  /** File name as given by the user. */
  readonly name: string;
  /** Absolute path. For stdin, the path that a file in the working directory would have. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

export interface LoadedStack {
  /** Valid only if no diagnostic is an error. */
  readonly specs: readonly ServiceSpec[];
  readonly networks: readonly NetworkSpec[];
  /** Secrets and configs to store. */
  readonly files: readonly FileContent[];
  readonly diagnostics: readonly Diagnostic[];
  /** Returns where a part of a service's spec is written. Undefined when the service is not in the files. */
  readonly placeOf: (service: string, path: string) => Place | undefined;
}

/**
 * Loads Compose files: parses, interpolates, merges and translates them to specs, and collects all problems.
 * @throws BerthError BERTH_COMPOSE_INVALID when a file is not text.
 */
export function loadStack(input: StackInput): LoadedStack {
  const diagnostics = new Diagnostics();
  const sources = input.files.map(({ name, bytes }) => decodeSource(name, bytes));
  const lookup = readVariables(input, diagnostics);
  const roots = sources.flatMap((source) => readDocuments(source, lookup, diagnostics));
  const root = mergeTrees(roots, diagnostics);
  const [first] = input.files;
  if (root === undefined || first === undefined) {
    reportEmpty(sources, diagnostics);
    return {
      specs: [],
      networks: [],
      files: [],
      diagnostics: diagnostics.sorted(),
      placeOf: () => undefined,
    };
  }
  const { stack, homeDirectory, readFile } = input;
  const project: Project = { stack, directory: dirname(first.path), homeDirectory, lookup, readFile };
  const { specs, networks, files, origins } = translateStack(rootCursor(root, diagnostics), project);
  const placeOf: LoadedStack["placeOf"] = (service, path) => {
    const places = origins.get(service);
    return places && findPlace(path, places);
  };
  const contents = input.skipsContents ? [] : readFileContents(files, project);
  return { specs, networks, files: contents, diagnostics: diagnostics.sorted(), placeOf };
}

function readDocuments(source: Source, lookup: Lookup, diagnostics: Diagnostics): readonly Node[] {
  return parseYaml(source, diagnostics).map((root) => interpolateTree(root, lookup, diagnostics));
}

/** Compose sets this variable to the project name, regardless of the environment. */
const STACK_NAME_VARIABLE = "COMPOSE_PROJECT_NAME";

function readVariables({ environment, envFiles, stack }: StackInput, diagnostics: Diagnostics): Lookup {
  const fromFiles = new Map<string, string>();
  const lookup: Lookup = (name) => {
    if (name === STACK_NAME_VARIABLE) return stack;
    return Object.hasOwn(environment, name) ? environment[name] : fromFiles.get(name);
  };
  for (const { name, bytes } of envFiles) {
    const values = parseEnvFile(decodeSource(name, bytes), { lookup, diagnostics, format: "compose" });
    for (const [key, value] of values) fromFiles.set(key, value);
  }
  return lookup;
}

function reportEmpty(sources: readonly Source[], diagnostics: Diagnostics): void {
  if (diagnostics.hasErrors) return;
  const source = sources[0] ?? createSource("compose file", "");
  diagnostics.error({ position: { source, start: 0, end: 0 }, path: "" }, "the file is empty");
}
