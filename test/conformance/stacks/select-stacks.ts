import { existsSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { PlainValue } from "../../../packages/cli/src/compose/model/render-project.js";
import { type CorpusCase, casesOf, SEEN_AT } from "../corpus.js";
import { deployProblem, load } from "../load.js";
import { type Program, programFor, STAND_IN } from "./programs.js";
import type { DeployableStack, StackService } from "./stack.js";

type Value = Readonly<Record<string, PlainValue>>;

/** Larger stacks take minutes on a small machine. */
const MAX_SERVICES = 8;
/**
 * Keys and values that a lab may not support: node labels, devices, networks, higher limits, and jobs that must
 * complete.
 */
const UNSUITABLE = ["devices", "network_mode", "provider", "pid", "extends", "runtime", "cgroup", "ulimits"];
const UNSUITABLE_VALUES = /"placement":|"mode":"(?:global|replicated-job)"|completed_successfully/;
/** Matches the warning about a variable that the user must set, such as a password. */
const UNSET_VARIABLE = /^variable \S+ is not set/;

/**
 * Selects stacks from the corpus, at most one per repository. Prefers stacks with programs that are not selected yet,
 * then those with the most programs, then those with the most services.
 */
export function selectStacks(directory: string, count: number): readonly DeployableStack[] {
  const left = new Set(deployableStacks(directory));
  const selected: DeployableStack[] = [];
  const programs = new Set<Program>();
  while (selected.length < count) {
    const best = largest([...left], (stack) => {
      const own = programsOf(stack);
      const added = [...own].filter((program) => !programs.has(program)).length;
      return [added, own.size, stack.services.length];
    });
    if (best === undefined) break;
    selected.push(best);
    for (const program of programsOf(best)) programs.add(program);
    for (const other of left) if (repositoryOf(other) === repositoryOf(best)) left.delete(other);
  }
  return selected;
}

/** Returns the smallest stack that runs a program other than stand-ins, or undefined if there is none. */
export function smallestStack(directory: string): DeployableStack | undefined {
  const candidates = deployableStacks(directory).filter((stack) => programsOf(stack).size > 0);
  return largest(candidates, ({ services }) => [-services.length]);
}

function deployableStacks(directory: string): readonly DeployableStack[] {
  return casesOf(directory).flatMap((file) => toStack(directory, file) ?? []);
}

/** Returns the programs that run in a stack, except stand-ins. */
export function programsOf({ services }: Pick<DeployableStack, "services">): ReadonlySet<Program> {
  const programs = new Set(services.map(({ image }) => programFor(image)));
  programs.delete(STAND_IN);
  return programs;
}

/** Returns the first of the items with the highest rank. Compares ranks element by element. */
function largest<T>(items: readonly T[], rankOf: (item: T) => readonly number[]): T | undefined {
  const ranked = items.map((item) => ({ item, rank: rankOf(item) }));
  const [first] = ranked.toSorted((a, b) => {
    const index = a.rank.findIndex((value, at) => value !== b.rank[at]);
    return (b.rank[index] ?? 0) - (a.rank[index] ?? 0);
  });
  return first?.item;
}

function repositoryOf({ name }: DeployableStack): string | undefined {
  return name.split("/")[0];
}

/** Converts a file from the corpus to a stack. Returns undefined if it cannot run in a lab. */
function toStack(
  corpusDirectory: string,
  { name, isValid, emptyFiles, test }: CorpusCase,
): DeployableStack | undefined {
  if (!isValid || Object.keys(test.environment).length > 0) return undefined;
  const outcome = load(test);
  if (outcome.kind === "rejected" || deployProblem(test) !== undefined) return undefined;
  const { project, warnings } = outcome;
  if (warnings.some((warning) => UNSET_VARIABLE.test(warning))) return undefined;
  const services = Object.entries(section(project, "services"));
  if (services.length < 2 || services.length > MAX_SERVICES) return undefined;
  if (!services.every(([, service]) => canRun(service)) || needsExternalResources(project)) return undefined;
  const directory = dirname(`${SEEN_AT}/${name}`);
  const file = join(corpusDirectory, "corpus", name);
  const stack = services.map((entry) => toStackService(entry, { directory, project }));
  const stored = [...filesOf(project, "configs"), ...filesOf(project, "secrets")];
  const needed = [...stored, ...emptyFiles.map((path) => `${SEEN_AT}/${path}`)].map((path) =>
    relative(directory, path),
  );
  // Files outside of the directory are not copied with it.
  if (needed.some((path) => path.startsWith(".."))) return undefined;
  const missingFiles = needed.filter((path) => !existsSync(join(dirname(file), path)));
  return { name, file, services: stack, externalNetworks: externalNetworksOf(project), missingFiles };
}

function canRun(service: Value): boolean {
  const hasUnsuitable = UNSUITABLE.some((key) => Object.hasOwn(service, key));
  return !hasUnsuitable && !UNSUITABLE_VALUES.test(JSON.stringify(service));
}

/** Returns whether a stack needs external volumes or files, or volumes that depend on a plugin or on a host's disk. */
function needsExternalResources(project: Value): boolean {
  const resources = ["volumes", "secrets", "configs"].flatMap((key) => Object.values(section(project, key)));
  return resources.some(({ external, driver = "local", driver_opts }) => {
    return external === true || driver !== "local" || driver_opts !== undefined;
  });
}

function externalNetworksOf(project: Value): readonly string[] {
  const networks = Object.values(section(project, "networks"));
  return networks.flatMap(({ external, name }) => (external === true ? [String(name)] : []));
}

/** Returns the paths of the files that secrets or configs are read from. */
function filesOf(project: Value, key: "secrets" | "configs"): readonly string[] {
  return Object.values(section(project, key)).flatMap(({ file }) => (typeof file === "string" ? [file] : []));
}

function toStackService(
  [name, service]: readonly [string, Value],
  { directory, project }: { readonly directory: string; readonly project: Value },
): StackService {
  const configs = section(project, "configs");
  const fromConfigs = itemsOf(service, "configs").map(({ source, target = `/${source}` }) => {
    return [String(target), String(configs[String(source)]?.file)] as const;
  });
  const binds = itemsOf(service, "volumes").filter(({ type }) => type === "bind");
  const fromBinds = binds.map(({ source, target }) => [String(target), String(source)] as const);
  const mounts = [...fromConfigs, ...fromBinds].map(([target, source]) => {
    return [target, relative(directory, source)] as const;
  });
  return {
    name,
    networks: Object.keys(section(service, "networks")),
    image: String(service.image ?? ""),
    ports: itemsOf(service, "ports").map(({ target }) => Number(target)),
    healthProgram: healthProgramOf(service),
    mounts: new Map(mounts.filter(([, source]) => !source.startsWith(".."))),
  };
}

function healthProgramOf({ healthcheck }: Value): string | undefined {
  const { test = [] } = (healthcheck ?? {}) as { readonly test?: readonly string[] };
  const [kind, line = ""] = test;
  return kind === undefined || kind === "NONE" ? undefined : line.split(" ")[0];
}

function section(value: Value, key: string): Readonly<Record<string, Value>> {
  return (value[key] ?? {}) as Readonly<Record<string, Value>>;
}

function itemsOf(value: Value, key: string): readonly Value[] {
  return (value[key] ?? []) as readonly Value[];
}
