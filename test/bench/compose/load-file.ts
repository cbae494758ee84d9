// Child process of the Compose benchmark: loads a Compose file and prints how much time and memory that took. Usage:
// `load-file.ts yaml|resolve|specs FILE`.
import { readFileSync } from "node:fs";
import { parseAllDocuments } from "yaml";
import { loadProject, loadStack, type ProjectInput } from "../../../packages/cli/src/compose/load-stack.js";

/** How far to process the file: parse the YAML, resolve the file, or also translate it to service specs. */
export type Step = "yaml" | "resolve" | "specs";

/** The output of this process. */
export interface LoadResult {
  readonly ms: number;
  readonly cpuMs: number;
  readonly peakBytes: number;
  readonly errors: number;
}

function load(step: Step, path: string): number {
  const bytes = readFileSync(path);
  const input: ProjectInput = {
    files: [{ name: path, path, bytes }],
    envFiles: [],
    environment: {},
    homeDirectory: "/root",
    readFile: () => undefined,
  };
  switch (step) {
    case "yaml":
      return parseAllDocuments(bytes.toString(), { schema: "failsafe", uniqueKeys: false }).length - 1;
    case "resolve":
      return errorsOf(loadProject(input).environment.diagnostics.sorted());
    case "specs":
      return errorsOf(loadStack({ ...input, stack: "bench", skipContents: true }).diagnostics);
  }
}

function errorsOf(diagnostics: readonly { readonly severity: string }[]): number {
  return diagnostics.filter(({ severity }) => severity === "error").length;
}

const [step, path] = process.argv.slice(2);
if ((step !== "yaml" && step !== "resolve" && step !== "specs") || path === undefined) {
  throw new Error("usage: load-file.ts yaml|resolve|specs FILE");
}
const startMs = performance.now();
const startCpu = process.cpuUsage();
const errors = load(step, path);
const { user, system } = process.cpuUsage(startCpu);
const result: LoadResult = {
  ms: performance.now() - startMs,
  cpuMs: (user + system) / 1_000,
  peakBytes: process.resourceUsage().maxRSS * 1_024,
  errors,
};
process.stdout.write(JSON.stringify(result));
