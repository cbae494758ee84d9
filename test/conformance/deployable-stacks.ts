import { join } from "node:path";
import type { PlainValue } from "../../packages/cli/src/compose/model/render-project.js";
import { casesOf } from "./corpus.js";
import { deployProblem, load } from "./load.js";

/** A stack that berth can deploy in a lab without its images. */
export interface DeployableStack {
  /** Path of the Compose file in the corpus. */
  readonly name: string;
  readonly file: string;
  readonly services: readonly StackService[];
}

export interface StackService {
  readonly name: string;
  readonly networks: readonly string[];
  readonly image: string;
  /** Empty when the command is that of the image. */
  readonly command: readonly string[];
  readonly hasHealthcheck: boolean;
}

type Service = Readonly<Record<string, PlainValue>>;

/** Larger stacks take minutes on a small machine. */
const MAX_SERVICES = 8;
/** Settings that a lab does not have: other hosts' labels, devices, networks, and commands that must end. */
const UNSUITABLE = ["devices", "network_mode", "provider", "pid", "extends", "runtime", "cgroup"];

/** Returns the first stacks of the corpus, one of each repository, those with most services first. */
export function selectStacks(folder: string, count: number): readonly DeployableStack[] {
  const candidates = casesOf(folder).flatMap(({ name, isValid, lacksFiles, test }) => {
    if (!isValid || lacksFiles || Object.keys(test.environment).length > 0) return [];
    const outcome = load(test);
    if (outcome.kind === "rejected" || deployProblem(test) !== undefined) return [];
    const { project } = outcome;
    const services = Object.entries((project.services ?? {}) as Readonly<Record<string, Service>>);
    const isSuitable =
      services.length > 1 &&
      services.length <= MAX_SERVICES &&
      services.every(([, service]) => canRun(service));
    // Networks of others and plugins for volumes are not in the lab.
    const usesOthers = /"external":true/.test(JSON.stringify(project));
    const volumes = Object.values((project.volumes ?? {}) as Readonly<Record<string, Service>>);
    const usesPlugins = volumes.some(({ driver = "local" }) => driver !== "local");
    if (!isSuitable || usesOthers || usesPlugins) return [];
    return [{ name, file: join(folder, "corpus", name), services: services.map(toStackService) }];
  });
  const sorted = candidates.toSorted((a, b) => b.services.length - a.services.length);
  const seen = new Set<string>();
  const unique = sorted.filter(({ name }) => {
    const [repository = ""] = name.split("/");
    return !seen.has(repository) && seen.add(repository);
  });
  return unique.slice(0, count);
}

function canRun(service: Service): boolean {
  const text = JSON.stringify(service);
  const hasUnsuitable = UNSUITABLE.some((key) => Object.hasOwn(service, key));
  return (
    !hasUnsuitable && !/"placement":|"mode":"(?:global|replicated-job)"|completed_successfully/.test(text)
  );
}

function toStackService([name, service]: readonly [string, Service]): StackService {
  return {
    name,
    networks: Object.keys((service.networks ?? {}) as Readonly<Record<string, unknown>>),
    image: String(service.image ?? ""),
    command: Array.isArray(service.command) ? service.command.map(String) : [],
    hasHealthcheck: Object.hasOwn(service, "healthcheck"),
  };
}
