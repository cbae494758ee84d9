import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isBerthError } from "@berth/proto";
import { loadProject, loadStack, type ProjectInput } from "../../packages/cli/src/compose/load-stack.js";
import { type PlainValue, toPlainProject } from "../../packages/cli/src/compose/model/render-project.js";
import { withoutUnusedResources } from "../../packages/cli/src/compose/model/resolve-project.js";
import type { Diagnostic } from "../../packages/cli/src/compose/text/diagnostics.js";
import { formatDiagnostic } from "../../packages/cli/src/compose/text/format-diagnostics.js";

/** How to load a case. Docker Compose was run in the same way. */
export interface Case {
  readonly stack?: string;
  /** Absolute paths at which Compose read the files. The first file is the base. */
  readonly paths: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Returns the content of the file that Compose read at a path. */
  readonly read: (path: string) => Uint8Array | undefined;
}

export type Outcome =
  | {
      readonly kind: "accepted";
      readonly project: Readonly<Record<string, PlainValue>>;
      readonly warnings: readonly string[];
    }
  | { readonly kind: "rejected"; readonly message: string };

const HOME = "/home/user";

/** Reads and resolves files as `berth stack config` does, with all profiles. */
export function load(test: Case): Outcome {
  try {
    const { project, environment } = loadProject(inputOf(test));
    const diagnostics = environment.diagnostics.sorted();
    const [error] = errorsOf(diagnostics);
    if (error !== undefined || project === undefined) {
      return { kind: "rejected", message: error === undefined ? "empty" : formatDiagnostic(error) };
    }
    const warnings = diagnostics.map(({ message }) => message);
    return { kind: "accepted", project: toPlainProject(withoutUnusedResources(project.root)), warnings };
  } catch (error) {
    if (isBerthError(error)) return { kind: "rejected", message: error.message };
    throw error;
  }
}

/** Returns why files cannot be deployed, or not without dropping settings, or undefined if they can. */
export function deployProblem(test: Case): string | undefined {
  const { diagnostics } = loadStack({ ...inputOf(test), stack: test.stack ?? "t", skipContents: true });
  const problem = diagnostics.find(
    ({ severity, isSettingIgnored }) => severity === "error" || isSettingIgnored,
  );
  return problem && formatDiagnostic(problem);
}

function errorsOf(diagnostics: readonly Diagnostic[]): readonly Diagnostic[] {
  return diagnostics.filter(({ severity }) => severity === "error");
}

function inputOf({ stack, paths, environment, read }: Case): ProjectInput {
  const files = paths.map((path) => ({ name: path, path, bytes: read(path) ?? new Uint8Array() }));
  const dotenv = join(dirname(paths[0] ?? "/"), ".env");
  const bytes = read(dotenv);
  return {
    stack,
    files,
    envFiles: bytes === undefined ? [] : [{ name: ".env", path: dotenv, bytes }],
    environment: { HOME, PWD: dirname(paths[0] ?? "/"), ...environment },
    profiles: ["*"],
    homeDirectory: HOME,
    readFile: read,
  };
}

/** Returns a function that reads files in a directory, by the paths at which Compose read them. */
export function directoryReader(
  directory: string,
  seenAt: string,
  emptyFiles: readonly string[] = [],
): Case["read"] {
  return (path) => {
    if (!path.startsWith(`${seenAt}/`)) return undefined;
    const inside = path.slice(seenAt.length + 1);
    if (emptyFiles.includes(inside)) return new Uint8Array();
    const real = join(directory, inside);
    try {
      return existsSync(real) ? readFileSync(real) : undefined;
    } catch {
      return undefined;
    }
  };
}
