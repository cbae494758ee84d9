import { resolve } from "node:path";
import type { FileContent, NetworkSpec, ServiceSpec } from "@berth/proto";
import { loadStack } from "../compose/load-stack.js";
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
  readonly files: readonly FileContent[];
  readonly messages: readonly string[];
}

/** Loads Compose text as the stack `t` in /project, without a file system. */
export function loadText(text: string | Uint8Array, options: LoadTextOptions = {}): LoadedText {
  const { overrides = [], env = {}, dotenv, files = {} } = options;
  const sources = [text, ...overrides].map((content, index) => {
    const name = index === 0 ? "c.yaml" : `c${index + 1}.yaml`;
    return { name, path: `/project/${name}`, bytes: toBytes(content) };
  });
  const loaded = loadStack({
    stack: "t",
    files: sources,
    envFiles: dotenv === undefined ? [] : [{ name: ".env", path: "/project/.env", bytes: toBytes(dotenv) }],
    environment: env,
    homeDirectory: "/home/user",
    readFile: (path) => {
      const found = Object.entries(files).find(([name]) => resolve("/project", name) === path);
      return found === undefined ? undefined : toBytes(found[1]);
    },
  });
  const { specs, networks, files: contents, diagnostics } = loaded;
  return { specs, networks, files: contents, messages: diagnostics.map((entry) => formatDiagnostic(entry)) };
}

/** Loads one service `s` with an image and these lines. */
export function loadService(lines: string, options: LoadTextOptions = {}): LoadedText {
  const indented = lines.split("\n").map((line) => `    ${line}`);
  return loadText(`services:\n  s:\n    image: a\n${indented.join("\n")}\n`, options);
}

function toBytes(content: string | Uint8Array): Uint8Array {
  return typeof content === "string" ? Buffer.from(content) : content;
}
