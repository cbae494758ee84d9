import { resolve } from "node:path";
import type { FileContent, NetworkSpec, ServiceSpec } from "@berth/proto";
import type { Shipment } from "../compose/keys/relative-binds.js";
import type { ServiceBuild } from "../compose/keys/service-build.js";
import { loadProject, loadStack, type StackInput } from "../compose/load-stack.js";
import { toPlainProject } from "../compose/model/render-project.js";
import { withoutUnusedResources } from "../compose/model/resolve-project.js";
import { formatDiagnostic } from "../compose/text/format-diagnostics.js";

export interface LoadTextOptions {
  /** More `-f` files after the first. */
  readonly overrides?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly dotenv?: string;
  /** Files next to the Compose file, by name. */
  readonly files?: Readonly<Record<string, string>>;
}

export interface LoadedText {
  readonly specs: readonly ServiceSpec[];
  readonly networks: readonly NetworkSpec[];
  readonly builds: readonly ServiceBuild[];
  readonly shipments: readonly Shipment[];
  readonly files: readonly FileContent[];
  readonly messages: readonly string[];
}

/** Loads Compose text as the stack `t` in /project, without a file system. */
export function loadText(text: string | Uint8Array, options: LoadTextOptions = {}): LoadedText {
  const { diagnostics, placeOf: _, ...loaded } = loadStack(inputOf(text, options));
  return { ...loaded, messages: diagnostics.map((entry) => formatDiagnostic(entry)) };
}

/** Resolves Compose text as `berth stack config` does. */
export function resolveText(text: string, options: LoadTextOptions = {}) {
  const { project, environment } = loadProject(inputOf(text, options));
  const messages = environment.diagnostics.sorted().map((entry) => formatDiagnostic(entry));
  const root = project && withoutUnusedResources(project.root);
  return { project: root === undefined ? {} : toPlainProject(root), messages };
}

function inputOf(text: string | Uint8Array, options: LoadTextOptions): StackInput {
  const { overrides = [], env = {}, dotenv, files = {} } = options;
  const sources = [text, ...overrides].map((content, index) => {
    const name = index === 0 ? "c.yaml" : `c${index + 1}.yaml`;
    return { name, path: `/project/${name}`, bytes: toBytes(content) };
  });
  return {
    stack: "t",
    files: sources,
    envFiles: dotenv === undefined ? [] : [{ name: ".env", path: "/project/.env", bytes: toBytes(dotenv) }],
    environment: env,
    homeDirectory: "/home/user",
    readFile: (path) => {
      const found = Object.entries(files).find(([name]) => resolve("/project", name) === path);
      return found === undefined ? undefined : toBytes(found[1]);
    },
  };
}

/** Loads one service `s` with an image and these lines. */
export function loadService(lines: string, options: LoadTextOptions = {}): LoadedText {
  const indented = lines.split("\n").map((line) => `    ${line}`);
  return loadText(`services:\n  s:\n    image: a\n${indented.join("\n")}\n`, options);
}

function toBytes(content: string | Uint8Array): Uint8Array {
  return typeof content === "string" ? Buffer.from(content) : content;
}
