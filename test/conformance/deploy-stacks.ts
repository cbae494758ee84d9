import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import type { Lab } from "../../deploy/lab/lab.js";
import { CONVERGE_TIMEOUT_MS, createCluster, waitForNetworks } from "../e2e/support/cluster.js";
import { type Container, listContainers } from "../e2e/support/containers.js";
import { docker } from "../e2e/support/tasks.js";
import type { DeployableStack, StackService } from "./deployable-stacks.js";

const STAND_IN = fileURLToPath(new URL("stand-in", import.meta.url));
const IMAGE = "stand-in:1";
const REDIS_FOLDER = fileURLToPath(new URL("../../deploy/images/redis", import.meta.url));
const REDIS_IMAGE = "redis:stand-in";
/** Matches the images of Redis, for which the program of Debian runs with the commands of the stack. */
const REDIS = /(?:^|\/)redis(?::|$)/;
const HOSTS = 2;
const DEPLOY_TIMEOUT_MS = 300_000;

/** The outcome of one stack. */
export interface DeployedStack {
  readonly name: string;
  readonly services: number;
  /** Pairs of services of which one resolved the name of the other. */
  readonly names: number;
  readonly problems: readonly string[];
}

/**
 * Deploys stacks one after the other in a lab of real Docker hosts. The images are replaced by one that runs until it is
 * stopped, with the commands and health checks that belong to them. Services with Redis run the Redis of this machine.
 */
export async function deployStacks(
  stacks: readonly DeployableStack[],
  report: (stack: DeployedStack) => void,
): Promise<readonly DeployedStack[]> {
  const lab = await createCluster(HOSTS);
  try {
    await lab.loadImage(STAND_IN, IMAGE);
    await lab.loadImage(REDIS_FOLDER, REDIS_IMAGE);
    await waitForNetworks(lab);
    const deployed: DeployedStack[] = [];
    for (const stack of stacks) {
      const outcome = await deployOne(lab, stack);
      report(outcome);
      deployed.push(outcome);
    }
    return deployed;
  } finally {
    await lab.down();
  }
}

async function deployOne(lab: Lab, { name, file, services }: DeployableStack): Promise<DeployedStack> {
  // Hosts create missing paths of bind mounts, so each stack gets a copy.
  const folder = mkdtempSync(join(tmpdir(), "berth-stack-"));
  try {
    cpSync(dirname(file), folder, { recursive: true });
    writeFileSync(join(folder, "stand-in.yaml"), overrideOf(services));
    const files = [basename(file), "stand-in.yaml"].flatMap((path) => ["-c", join(folder, path)]);
    const argv = ["stack", "deploy", "--quiet", "--profile", "*", ...files, "s"];
    const { code, stderr } = await lab.berth(argv, { timeoutMs: DEPLOY_TIMEOUT_MS });
    const problems = code === 0 ? [] : [`deploy: ${stderr.trim().slice(-1_000)}`];
    const containers = (await listContainers(lab)).filter(({ running }) => running);
    const missing = services.filter((service) => !containers.some((container) => isOf(container, service)));
    problems.push(...missing.map((service) => `${service.name} does not run`));
    const { names, unresolved } = await resolveNames(lab, services, containers);
    return { name, services: services.length, names, problems: [...problems, ...unresolved] };
  } finally {
    await lab.berth(["stack", "rm", "s"], { timeoutMs: 4 * CONVERGE_TIMEOUT_MS });
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Returns a Compose file that replaces the image of each service, and what depends on the image. */
function overrideOf(services: readonly StackService[]): string {
  const overrides = services.map((service) => [
    service.name,
    REDIS.test(service.image) ? redisOverride(service) : standInOverride(service),
  ]);
  return stringify({ services: Object.fromEntries(overrides) });
}

function standInOverride({ hasHealthcheck }: StackService) {
  const healthcheck = { test: ["CMD", "/usr/bin/stand-in", "check"], interval: "1s" };
  return {
    image: IMAGE,
    entrypoint: ["/usr/bin/stand-in"],
    command: [],
    user: "0",
    pull_policy: "missing",
    ...(hasHealthcheck ? { healthcheck } : {}),
  };
}

/** The image has the program as its entrypoint. A command in the stack names the program as well. */
function redisOverride({ command, hasHealthcheck }: StackService) {
  const healthcheck = { test: ["CMD", "/usr/bin/redis-cli", "ping"], interval: "1s" };
  return {
    image: REDIS_IMAGE,
    pull_policy: "missing",
    ...(command.length === 0 ? {} : { entrypoint: [] }),
    ...(hasHealthcheck ? { healthcheck } : {}),
  };
}

/** Looks up each service from a stand-in of every other service that shares a network with it. */
async function resolveNames(
  lab: Lab,
  services: readonly StackService[],
  containers: readonly Container[],
): Promise<{ readonly names: number; readonly unresolved: readonly string[] }> {
  let names = 0;
  const unresolved: string[] = [];
  for (const service of services) {
    const container = containers.find((candidate) => isOf(candidate, service));
    const neighbors = services.filter(
      (other) => other !== service && other.networks.some((network) => service.networks.includes(network)),
    );
    // The image of Redis has no program to look names up.
    if (container === undefined || REDIS.test(service.image)) continue;
    for (const { name } of neighbors) {
      const argv = ["exec", container.id, "/usr/bin/busybox", "nslookup", "-type=a", name];
      const output = await docker(lab.host(container.host), ...argv).catch((error: unknown) => String(error));
      if (/^Address(?: \d+)?: \d+\.\d+\.\d+\.\d+$/m.test(output)) names += 1;
      else unresolved.push(`${service.name} cannot resolve ${name}: ${output.slice(0, 200)}`);
    }
  }
  return { names, unresolved };
}

function isOf(container: Container, { name }: StackService): boolean {
  return container.service === `s_${name}`;
}
