import { basename, dirname } from "node:path";
import type { FileContent, NetworkSpec, ServiceSpec } from "@berth/proto";
import type { Shipment } from "./keys/relative-binds.js";
import type { ServiceBuild } from "./keys/service-build.js";
import { type InputFile, type ProjectEnvironment, readProject } from "./model/read-project.js";
import { type ResolvedProject, resolveProject } from "./model/resolve-project.js";
import { readFileContents } from "./read-file-contents.js";
import { type Diagnostic, Diagnostics, findPlace, type Place } from "./text/diagnostics.js";
import { parseEnvFile } from "./text/env-file.js";
import { createSource, decodeSource } from "./text/source.js";
import type { Lookup } from "./text/template.js";
import { translateStack } from "./translate-stack.js";
import { rootCursor } from "./tree/cursor.js";
import { childOf, textOf } from "./tree/node.js";

export interface ProjectInput {
  /**
   * Name of the stack. By default, the variable COMPOSE_PROJECT_NAME, the `name` of the files, or the name of the
   * directory of the first file.
   */
  readonly stack?: string | undefined;
  /** Files in the order of the command line. Later files override earlier ones. */
  readonly files: readonly InputFile[];
  /** The `.env` file, or the files of `--env-file`. */
  readonly envFiles: readonly InputFile[];
  /** The environment of the process. Takes precedence over the env files. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Profiles from the command line, in addition to those in `COMPOSE_PROFILES`. */
  readonly profiles?: readonly string[] | undefined;
  readonly homeDirectory: string;
  readonly readFile: ProjectEnvironment["readFile"];
  readonly onVariable?: ProjectEnvironment["onVariable"];
}

/** Options of `loadProject`. */
export interface LoadOptions {
  /** Whether to keep the variables in the values. The project can then be printed, but not deployed. */
  readonly keepVariables?: boolean;
}

export interface StackInput extends ProjectInput {
  readonly stack: string;
  /** Whether to leave out the contents of secrets and configs, which need not exist where a file is only checked. */
  readonly skipContents?: boolean;
}

export interface LoadedProject {
  /** The resolved project, valid only if no diagnostic is an error. Undefined if the files have no content. */
  readonly project: ResolvedProject | undefined;
  readonly environment: ProjectEnvironment;
}

export interface LoadedStack {
  /** Valid only if no diagnostic is an error. */
  readonly specs: readonly ServiceSpec[];
  readonly networks: readonly NetworkSpec[];
  /** The services whose images can be built. */
  readonly builds: readonly ServiceBuild[];
  /** The files and directories to send to nodes. Their digests are missing in the specs. */
  readonly shipments: readonly Shipment[];
  /** Secrets and configs to store. */
  readonly files: readonly FileContent[];
  readonly diagnostics: readonly Diagnostic[];
  /** Returns where a part of a service's spec is written, or undefined if the service is not in the files. */
  readonly placeOf: (service: string, path: string) => Place | undefined;
}

/**
 * Loads Compose files: reads and resolves them as Compose does, translates them to specs, and collects all problems.
 *
 * @throws BerthError BERTH_COMPOSE_INVALID if a file is not text.
 */
export function loadStack(input: StackInput): LoadedStack {
  const { project, environment } = loadProject(input);
  const { diagnostics } = environment;
  if (project === undefined) {
    const placeOf = (): undefined => undefined;
    const empty = { specs: [], networks: [], builds: [], shipments: [], files: [] };
    return { ...empty, diagnostics: diagnostics.sorted(), placeOf };
  }
  reportNoServices(project, diagnostics);
  const translated = translateStack(rootCursor(project.root, diagnostics), input.stack);
  const placeOf: LoadedStack["placeOf"] = (service, path) => {
    const places = translated.origins.get(service);
    return places && findPlace(path, places);
  };
  const { specs, networks, builds, shipments } = translated;
  const files = input.skipContents ? [] : readFileContents(translated.files, environment);
  return { specs, networks, builds, shipments, files, diagnostics: diagnostics.sorted(), placeOf };
}

/**
 * Reads and resolves Compose files as Compose does.
 *
 * @throws BerthError BERTH_COMPOSE_INVALID if a file is not text.
 */
export function loadProject(input: ProjectInput, { keepVariables = false }: LoadOptions = {}): LoadedProject {
  const { files, homeDirectory, readFile, onVariable } = input;
  const directoryName = toStackName(basename(dirname(files[0]?.path ?? "/")));
  const diagnostics = new Diagnostics();
  const lookup = readVariables(input, diagnostics);
  const environment: ProjectEnvironment = {
    homeDirectory,
    readFile,
    lookup,
    diagnostics,
    onVariable,
    keepVariables,
  };
  const variable = lookup(STACK_NAME_VARIABLE);
  const explicitName = input.stack ?? (variable === "" ? undefined : variable);
  // Compose sets this variable for the files, regardless of the environment.
  const fileLookup: Lookup = (name) =>
    name === STACK_NAME_VARIABLE ? (explicitName ?? directoryName) : lookup(name);
  const tree = readProject(files, { ...environment, lookup: fileLookup });
  if (tree === undefined) {
    reportEmpty(files, diagnostics);
    return { project: undefined, environment };
  }
  const stack = explicitName ?? toStackName(textOf(tree, "name") ?? directoryName);
  const profiles = [...(input.profiles ?? []), ...(lookup("COMPOSE_PROFILES") ?? "").split(",")];
  return { project: resolveProject(tree, { ...environment, stack, profiles }), environment };
}

const STACK_NAME_VARIABLE = "COMPOSE_PROJECT_NAME";

/** Reports a stack without services. Nothing is reported when the services could not be read. */
function reportNoServices({ root, disabled }: ResolvedProject, diagnostics: Diagnostics): void {
  const services = childOf(root, "services");
  const hasServices = services?.kind === "map" && services.entries.size > 0;
  if (hasServices || diagnostics.hasErrors) return;
  const message =
    disabled.size === 0
      ? "no services; add at least one service under services:"
      : "no service is enabled: all of them require a profile";
  diagnostics.error({ position: root.position, path: "services" }, message);
}

/** Converts a name to a valid stack name, as Compose does for project names. */
function toStackName(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9_-]/g, "")
    .replace(/^[_-]+/, "");
}

function readVariables({ environment, envFiles }: ProjectInput, diagnostics: Diagnostics): Lookup {
  const fromFiles = new Map<string, string>();
  const lookup: Lookup = (name) => {
    return Object.hasOwn(environment, name) ? environment[name] : fromFiles.get(name);
  };
  for (const { name, bytes } of envFiles) {
    const values = parseEnvFile(decodeSource(name, bytes), { lookup, diagnostics, format: "compose" });
    for (const [key, value] of values) fromFiles.set(key, value);
  }
  return lookup;
}

function reportEmpty(files: readonly InputFile[], diagnostics: Diagnostics): void {
  if (diagnostics.hasErrors) return;
  const [first] = files;
  const source =
    first === undefined ? createSource("compose file", "") : decodeSource(first.name, first.bytes);
  diagnostics.error({ position: { source, start: 0, end: 0 }, path: "" }, "the file is empty");
}
