import { basename, dirname, join, relative, resolve } from "node:path";
import type { Diagnostics, Place } from "../text/diagnostics.js";
import { parseEnvFile } from "../text/env-file.js";
import { decodeSource, type Source, type SourceSpan } from "../text/source.js";
import type { Lookup, VariableUse } from "../text/template.js";
import { rootCursor } from "../tree/cursor.js";
import { interpolateTree } from "../tree/interpolate-tree.js";
import { mergeNodes, withoutResets } from "../tree/merge.js";
import {
  childOf,
  type MapEntry,
  type MapNode,
  type Node,
  scalarNode,
  textOf,
  withEntry,
  withoutEntry,
} from "../tree/node.js";
import { parseYaml } from "../tree/parse-yaml.js";
import { applyExtends, type ExtendedFile } from "./extends.js";
import { projectShape } from "./project-shape.js";
import { resolvePaths } from "./resolve-paths.js";
import { convertVersionOne } from "./version-one.js";

/** A Compose file that the command line specifies. */
export interface InputFile {
  /** File name as the user specified it. */
  readonly name: string;
  /** Absolute path. For stdin, the path that a file in the working directory would have. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** The environment in which a project is read. `readFile` is the only I/O. */
export interface ProjectEnvironment {
  readonly homeDirectory: string;
  /** Looks a variable up in the environment, then in the `.env` file. */
  readonly lookup: Lookup;
  /**
   * Returns undefined if the file does not exist.
   *
   * @throws BerthError if it cannot be read.
   */
  readonly readFile: (path: string) => Uint8Array | undefined;
  readonly diagnostics: Diagnostics;
  /** Called for each variable in the Compose files. */
  readonly onVariable?: ((use: VariableUse) => void) | undefined;
  /** Whether values keep their variables, except for those that select files. Default: false. */
  readonly keepVariables?: boolean | undefined;
}

/** Maximum number of files that a project includes or extends. */
const MAX_READ_FILES = 500;
/** Sections that an included file adds to the project. */
const RESOURCE_SECTIONS = ["services", "volumes", "networks", "secrets", "configs", "models"];
const DEFAULT_ENV_FILE = ".env";

/**
 * Reads the Compose files of a project with all files that they include and extend. Returns one canonical tree with
 * absolute paths, or undefined if the files have no content. Problems are reported to the diagnostics.
 */
export function readProject(
  files: readonly InputFile[],
  environment: ProjectEnvironment,
): MapNode | undefined {
  const [first] = files;
  if (first === undefined) return undefined;
  const base = { name: dirname(first.name), directory: dirname(first.path) };
  const root = new ProjectReader(environment, base).read(files, { directory: base.directory, chain: [] });
  if (root === undefined) return undefined;
  const merged = withoutResets(root);
  const shaped = projectShape(rootCursor(merged, environment.diagnostics), "project");
  return shaped?.kind === "map" ? shaped : undefined;
}

/** A set of files that are merged and share the base directory of relative paths. */
interface FileSet {
  readonly directory: string;
  /** Paths of the chain of files that include this set. */
  readonly chain: readonly string[];
}

class ProjectReader {
  readonly #environment: ProjectEnvironment;
  /** The directory of the first file, and how the user wrote it. Names in messages are relative to it. */
  readonly #base: { readonly name: string; readonly directory: string };
  /** Number of files that the project includes or extends so far. */
  #fileCount = 0;

  constructor(environment: ProjectEnvironment, base: { readonly name: string; readonly directory: string }) {
    this.#environment = environment;
    this.#base = base;
  }

  /** Returns the merged tree of some files. */
  read(files: readonly InputFile[], set: FileSet): Node | undefined {
    const { diagnostics, homeDirectory } = this.#environment;
    let merged: Node | undefined;
    for (const file of files) {
      const source = decodeSource(file.name, file.bytes);
      for (const root of this.#readDocuments(source)) {
        const complete = this.#mergeReferences(root, file, set);
        merged =
          merged === undefined
            ? complete
            : mergeNodes({ earlier: merged, later: complete, path: [], diagnostics });
      }
    }
    if (merged === undefined) return undefined;
    return resolvePaths(withBuildContexts(merged), { directory: set.directory, homeDirectory });
  }

  /** Returns the canonical trees of the documents of one file. */
  #readDocuments(source: Source): readonly Node[] {
    const { diagnostics } = this.#environment;
    return parseYaml(source, diagnostics).flatMap((root) => {
      const interpolated = interpolateTree(root, this.#environment);
      const current = convertVersionOne(interpolated, diagnostics);
      return projectShape(rootCursor(current, diagnostics), "file") ?? [];
    });
  }

  /** Merges the included files and the extended services into a document. */
  #mergeReferences(root: Node, file: InputFile, set: FileSet): Node {
    const chain = [...set.chain, file.path];
    const included = this.#include(root, { ...set, chain });
    const { diagnostics, homeDirectory } = this.#environment;
    return applyExtends(included, {
      diagnostics,
      file: { path: file.path, services: childOf(included, "services") },
      openFile: (path, place) => this.#openExtended(path, place, set, homeDirectory),
    });
  }

  #openExtended(
    path: string,
    place: Place,
    { directory }: FileSet,
    homeDirectory: string,
  ): ExtendedFile | undefined {
    const absolute = resolve(directory, path);
    const file = this.#openFile(absolute, place, path);
    if (file === undefined) return undefined;
    const [root] = this.#readDocuments(decodeSource(file.name, file.bytes));
    if (root === undefined) return undefined;
    const resolved = resolvePaths(root, { directory: dirname(absolute), homeDirectory });
    return { path: absolute, services: childOf(resolved, "services") };
  }

  /** Merges the included files into a document, whose own values have precedence. */
  #include(root: Node, set: FileSet): Node {
    const entries = childOf(root, "include");
    if (root.kind !== "map" || entries?.kind !== "list") return root;
    const { diagnostics } = this.#environment;
    return entries.items.reduce<Node>(
      (later, entry) => {
        const included = this.#readIncluded(entry, set);
        if (included?.kind !== "map") return later;
        const resources = [...included.entries].filter(([key]) => RESOURCE_SECTIONS.includes(key));
        const earlier: Node = { ...included, entries: new Map(resources) };
        return mergeNodes({ earlier, later, path: [], diagnostics });
      },
      withoutEntry(root, "include"),
    );
  }

  #readIncluded(entry: Node, set: FileSet): Node | undefined {
    const paths = listTexts(childOf(entry, "path"));
    const files = paths.flatMap(({ text, position }) => {
      const place = { position, path: "include" };
      const path = resolve(set.directory, text);
      if (set.chain.includes(path)) {
        const steps = [...set.chain.slice(set.chain.indexOf(path)), path].map((step) => basename(step));
        this.#environment.diagnostics.error(place, `include cycle: ${steps.join(" -> ")}`);
        return [];
      }
      return this.#openFile(path, place, text) ?? [];
    });
    const [first] = files;
    if (first === undefined || files.length < paths.length) return undefined;
    const directory = resolve(set.directory, textOf(entry, "project_directory") ?? dirname(first.path));
    const environment = {
      ...this.#environment,
      lookup: this.#includedLookup(entry, set.directory, directory),
    };
    const reader = new ProjectReader(environment, this.#base);
    reader.#fileCount = this.#fileCount;
    const root = reader.read(files, { directory, chain: set.chain });
    this.#fileCount = reader.#fileCount;
    return root;
  }

  /** Returns the variables of an included file: first those of the project, then those of its own env files. */
  #includedLookup(entry: Node, including: string, directory: string): Lookup {
    const { lookup, readFile, diagnostics } = this.#environment;
    const values = new Map<string, string>();
    const envFiles = listTexts(childOf(entry, "env_file"));
    const files = envFiles.length === 0 ? [undefined] : envFiles;
    for (const file of files) {
      if (file?.text === "/dev/null") continue;
      const path = file === undefined ? join(directory, DEFAULT_ENV_FILE) : resolve(including, file.text);
      const bytes = readFile(path);
      if (bytes !== undefined) {
        const source = decodeSource(this.#nameOf(path), bytes);
        for (const [key, value] of parseEnvFile(source, { lookup, diagnostics, format: "compose" })) {
          values.set(key, value);
        }
      } else if (file !== undefined) {
        diagnostics.error({ position: file.position, path: "include" }, `no such file: ${file.text}`);
      }
    }
    return (name) => lookup(name) ?? values.get(name);
  }

  #openFile(path: string, place: Place, written: string): InputFile | undefined {
    const { readFile, diagnostics } = this.#environment;
    if (/^(?:https?|oci|git|ssh):|^git@/.test(written)) {
      diagnostics.error(place, `${JSON.stringify(written)} is remote; copy the file next to this one`);
      return undefined;
    }
    this.#fileCount += 1;
    if (this.#fileCount > MAX_READ_FILES) {
      diagnostics.error(place, `the project has more than ${MAX_READ_FILES} files`);
      return undefined;
    }
    const bytes = readFile(path);
    if (bytes === undefined) diagnostics.error(place, `no such file: ${written}`);
    return bytes && { name: this.#nameOf(path), path, bytes };
  }

  /** Returns the name of a file for messages: a relative path as the user would write it. */
  #nameOf(path: string): string {
    return join(this.#base.name, relative(this.#base.directory, path));
  }
}

/** Sets the build context of services that do not set one: the directory of the project. */
function withBuildContexts(root: Node): Node {
  const services = childOf(root, "services");
  if (root.kind !== "map" || services?.kind !== "map") return root;
  const entries = new Map<string, MapEntry>();
  for (const [name, entry] of services.entries) {
    const { value } = entry;
    const build = childOf(value, "build");
    const isIncomplete = build?.kind === "map" && !build.entries.has("context");
    if (value.kind !== "map" || !isIncomplete) {
      entries.set(name, entry);
      continue;
    }
    const withContext = withEntry(build, "context", scalarNode(".", build.position));
    entries.set(name, { ...entry, value: withEntry(value, "build", withContext) });
  }
  return withEntry(root, "services", { ...services, entries });
}

/** Returns the scalars of a list as text, with their positions. */
function listTexts(
  node: Node | undefined,
): readonly { readonly text: string; readonly position: SourceSpan }[] {
  if (node?.kind !== "list") return [];
  return node.items.flatMap((item) =>
    item.kind === "scalar" ? [{ text: String(item.value), position: item.position }] : [],
  );
}
