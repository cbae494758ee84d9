import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { BerthError } from "@berth/proto";
import { builtImageName } from "../../compose/keys/image-keys.js";
import { loadProject, loadStack, type ProjectInput } from "../../compose/load-stack.js";
import { renderYaml, toPlainProject } from "../../compose/model/render-project.js";
import { type ResolvedProject, withoutUnusedResources } from "../../compose/model/resolve-project.js";
import type { Diagnostic } from "../../compose/text/diagnostics.js";
import { didYouMean } from "../../compose/text/suggest.js";
import type { Lookup, VariableUse } from "../../compose/text/template.js";
import { childOf, type MapNode, type Node, textOf } from "../../compose/tree/node.js";
import { invalidOptionError } from "../../options/parse-options.js";
import { pluralize } from "../../output/human.js";
import { type Column, formatTable } from "../../output/table.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { type ProjectFiles, readProjectFiles, reportDiagnostics } from "./read-specs.js";

export interface ConfigOptions extends GlobalOptions, Omit<ProjectFiles, "composeFile"> {
  readonly composeFile?: readonly string[];
  readonly format?: string;
  readonly services?: boolean;
  readonly images?: boolean;
  readonly volumes?: boolean;
  readonly networks?: boolean;
  readonly profiles?: boolean;
  readonly environment?: boolean;
  readonly variables?: boolean;
  /** Names of services, separated by commas. `true` stands for all. */
  readonly hash?: string | true;
  readonly outputFile?: string;
  readonly check?: boolean;
  /** False for `--no-interpolate`. */
  readonly interpolate?: boolean;
  readonly quiet?: boolean;
}

/** File names that Docker Compose looks for, in this order, each with the name of its override file. */
const DEFAULT_FILES = [
  ["compose.yaml", "compose.override.yaml"],
  ["compose.yml", "compose.override.yml"],
  ["docker-compose.yaml", "docker-compose.override.yaml"],
  ["docker-compose.yml", "docker-compose.override.yml"],
];

/** `berth stack config [-c FILE…] [NAME]` */
export async function showConfig(cli: Cli, options: ConfigOptions, stack: string | undefined): Promise<void> {
  const keepVariables = options.interpolate === false;
  if (keepVariables && options.check) {
    throw invalidOptionError("--no-interpolate", "cannot be combined with --check, which needs all values");
  }
  const composeFile = options.composeFile ?? findComposeFiles(cli.cwd);
  const variables = new Map<string, VariableUse>();
  const files = await readProjectFiles(cli, { ...options, composeFile });
  const input: ProjectInput = {
    ...files,
    stack,
    // As in Compose, all services are printed with their variables, since a profile can be a variable.
    profiles: keepVariables ? ["*"] : files.profiles,
    onVariable: (use) => {
      if (!variables.has(use.name)) variables.set(use.name, use);
    },
  };
  if (options.check) {
    checkProject(cli, input, options);
    return;
  }
  const { project, environment } = loadProject(input, { keepVariables });
  report(cli, input, environment.diagnostics.sorted(), options);
  if (project === undefined) return;
  const text = render({ project, variables, lookup: environment.lookup }, options);
  if (options.outputFile === undefined) {
    cli.stdout.write(text);
  } else {
    await writeFile(resolve(cli.cwd, options.outputFile), text);
  }
}

/** Returns the Compose file in a directory, and its override if it exists. */
function findComposeFiles(directory: string): readonly string[] {
  for (const [name = "", override = ""] of DEFAULT_FILES) {
    if (!existsSync(join(directory, name))) continue;
    return existsSync(join(directory, override)) ? [name, override] : [name];
  }
  const names = DEFAULT_FILES.map(([name]) => name).join(", ");
  const message = `no Compose file in ${directory} (${names}); use -c FILE`;
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
}

/** Checks whether the files can be deployed, and prints nothing else. */
function checkProject(cli: Cli, input: ProjectInput, options: ConfigOptions): void {
  const { specs, diagnostics } = loadStack({ ...input, stack: input.stack ?? "check", skipContents: true });
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

/** The resolved files, and the variables that they use. */
interface ResolvedFiles {
  readonly project: ResolvedProject;
  readonly variables: ReadonlyMap<string, VariableUse>;
  readonly lookup: Lookup;
}

function render(files: ResolvedFiles, options: ConfigOptions): string {
  const keepVariables = options.interpolate === false;
  // With variables, it is not known which resources are unused.
  const root = keepVariables ? files.project.root : withoutUnusedResources(files.project.root);
  const services = entriesOf(root, "services");
  if (options.services) return lines(services.map(([name]) => name));
  if (options.images) {
    return lines(services.flatMap(([name, service]) => imageOf(name, service, root) ?? []));
  }
  if (options.volumes) return lines(entriesOf(root, "volumes").map(([name]) => name));
  if (options.networks) return lines(entriesOf(root, "networks").map(([name]) => name));
  if (options.profiles) return lines(profilesOf(files.project).sort());
  if (options.environment) return renderEnvironment(files);
  if (options.variables) return renderVariables(files);
  if (options.hash !== undefined) return renderHashes(services, options.hash);
  const isJson = options.format === "json" || (options.format === undefined && options.output === "json");
  const plain = toPlainProject(root, { keepVariables });
  return isJson ? `${JSON.stringify(plain, undefined, 2)}\n` : renderYaml(plain);
}

function imageOf(name: string, service: Node, project: MapNode): string | undefined {
  const isBuilt = childOf(service, "build") !== undefined;
  const builtName = isBuilt ? builtImageName(textOf(project, "name") ?? "", name) : undefined;
  return textOf(service, "image") ?? builtName;
}

/** Returns the profiles of all services, whether they are enabled or not. */
function profilesOf({ root, disabled }: ResolvedProject): string[] {
  const enabled = entriesOf(root, "services").flatMap(([, service]) => {
    const profiles = childOf(service, "profiles");
    return profiles?.kind === "list" ? profiles.items : [];
  });
  const names = enabled.flatMap((item) => (item.kind === "scalar" ? item.text : []));
  return [...names, ...[...disabled.values()].flat()];
}

function renderEnvironment({ variables, lookup }: ResolvedFiles): string {
  const assignments = [...variables.keys()].sort().flatMap((name) => {
    const value = lookup(name);
    return value === undefined ? [] : `${name}=${value}`;
  });
  return lines(assignments);
}

const VARIABLE_COLUMNS: readonly Column<VariableUse>[] = [
  { title: "NAME", cell: ({ name }) => name },
  { title: "REQUIRED", cell: ({ isRequired }) => String(isRequired) },
  { title: "DEFAULT VALUE", cell: ({ defaultText }) => defaultText },
  { title: "ALTERNATE VALUE", cell: ({ alternativeText }) => alternativeText },
];

function renderVariables({ variables }: ResolvedFiles): string {
  const uses = [...variables.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return formatTable(VARIABLE_COLUMNS, uses);
}

/** Returns the hashes of all services, or of those in a comma-separated list. */
function renderHashes(services: readonly NamedNode[], selection: string | true): string {
  const names = selection === true || selection === "*" ? undefined : selection.split(",");
  const unknown = names?.find((name) => !services.some(([known]) => known === name));
  if (unknown !== undefined) {
    const hint = didYouMean(
      unknown,
      services.map(([name]) => name),
    );
    const message = `no such service: ${unknown}${hint}`;
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
  }
  const selected = services.filter(([name]) => names?.includes(name) ?? true);
  return lines(selected.map(([name, service]) => `${name} ${hashOf(service)}`));
}

type NamedNode = readonly [name: string, node: Node];

/** Returns the entries of a section, such as "services". */
function entriesOf(root: MapNode, section: string): readonly NamedNode[] {
  const node = childOf(root, section);
  return node?.kind === "map" ? [...node.entries].map(([name, { value }]) => [name, value] as const) : [];
}

/** Returns a hash that changes when the resolved service changes. */
function hashOf(service: Node): string {
  return createHash("sha256")
    .update(JSON.stringify(toPlainProject(service)))
    .digest("hex");
}

/** Returns the values without duplicates, one per line. */
function lines(values: readonly string[]): string {
  return [...new Set(values)].map((value) => `${value}\n`).join("");
}
