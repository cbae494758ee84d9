import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BerthError } from "@berth/proto";
import { loadProject, loadStack, type ProjectInput } from "../../compose/load-stack.js";
import { renderYaml, toPlainProject } from "../../compose/model/render-project.js";
import { withoutUnusedResources } from "../../compose/model/resolve-project.js";
import type { Diagnostic } from "../../compose/text/diagnostics.js";
import { childOf, type MapNode, textOf } from "../../compose/tree/node.js";
import { pluralize } from "../../output/human.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { type ProjectFiles, readProjectFiles, reportDiagnostics } from "./read-specs.js";

export interface ConfigOptions extends GlobalOptions, Omit<ProjectFiles, "composeFile"> {
  readonly composeFile?: readonly string[];
  readonly format?: string;
  readonly services?: boolean;
  readonly images?: boolean;
  readonly volumes?: boolean;
  readonly hash?: boolean;
  readonly check?: boolean;
  readonly quiet?: boolean;
}

/** The names that Docker Compose looks for, in this order, each with the name of its override. */
const DEFAULT_FILES = [
  ["compose.yaml", "compose.override.yaml"],
  ["compose.yml", "compose.override.yml"],
  ["docker-compose.yaml", "docker-compose.override.yaml"],
  ["docker-compose.yml", "docker-compose.override.yml"],
];

/** `berth stack config [-c FILE…] [NAME]` */
export async function showConfig(cli: Cli, options: ConfigOptions, stack: string | undefined): Promise<void> {
  const composeFile = options.composeFile ?? findComposeFiles(cli.cwd);
  const input = {
    ...(await readProjectFiles(cli, { ...options, composeFile })),
    ...(stack === undefined ? {} : { stack }),
  };
  if (options.check) {
    checkProject(cli, input, options);
    return;
  }
  const { project, environment } = loadProject(input);
  report(cli, input, environment.diagnostics.sorted(), options);
  if (project === undefined) return;
  cli.stdout.write(render(withoutUnusedResources(project.root), options));
}

/** Returns the Compose file in a directory, and its override if it exists. */
function findComposeFiles(directory: string): readonly string[] {
  for (const [name = "", override = ""] of DEFAULT_FILES) {
    if (!existsSync(join(directory, name))) continue;
    return existsSync(join(directory, override)) ? [name, override] : [name];
  }
  const names = DEFAULT_FILES.map(([name]) => name).join(", ");
  const message = `no Compose file in ${directory} (${names}): use -c FILE`;
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
}

/** Checks whether the files can be deployed, and prints nothing else. */
function checkProject(cli: Cli, input: ProjectInput, options: ConfigOptions): void {
  const { specs, diagnostics } = loadStack({ stack: "check", ...input, skipsContents: true });
  report(cli, input, diagnostics, options);
  if (!options.quiet) cli.stdout.write(`ok: ${pluralize(specs.length, "service")}\n`);
}

function report(
  cli: Cli,
  { files }: ProjectInput,
  diagnostics: readonly Diagnostic[],
  { quiet = false }: ConfigOptions,
): void {
  const fileNames = files.map(({ name }) => name).join(", ");
  reportDiagnostics(cli, diagnostics, { fileNames, consequence: "", quiet });
}

function render(root: MapNode, options: ConfigOptions): string {
  const services = entriesOf(root, "services");
  if (options.services) return lines(services.map(([name]) => name));
  if (options.images) return lines(services.flatMap(([, service]) => textOf(service, "image") ?? []));
  if (options.volumes) return lines(entriesOf(root, "volumes").map(([name]) => name));
  if (options.hash) return lines(services.map(([name, service]) => `${name} ${hashOf(service)}`));
  const isJson = options.format === "json" || (options.format === undefined && options.output === "json");
  return isJson ? `${JSON.stringify(toPlainProject(root), undefined, 2)}\n` : renderYaml(root);
}

function entriesOf(root: MapNode, section: string) {
  const node = childOf(root, section);
  return node?.kind === "map" ? [...node.entries].map(([name, { value }]) => [name, value] as const) : [];
}

/** Returns a hash that changes when the resolved service changes. */
function hashOf(service: Parameters<typeof toPlainProject>[0]): string {
  return createHash("sha256")
    .update(JSON.stringify(toPlainProject(service)))
    .digest("hex");
}

function lines(values: readonly string[]): string {
  return [...new Set(values)].map((value) => `${value}\n`).join("");
}
