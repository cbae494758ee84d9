import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import type { Lab } from "../../../deploy/lab/lab.js";
import { waitUntil } from "../../../deploy/lab/wait-until.js";
import { ensurePackages } from "../../../deploy/setup/debian.mjs";
import { CONVERGE_TIMEOUT_MS, createCluster, waitForNetworks } from "../../e2e/support/cluster.js";
import { type Container, listContainers } from "../../e2e/support/containers.js";
import { docker } from "../../e2e/support/tasks.js";
import { directoryOf, programFor, STAND_IN, tagOf } from "./programs.js";
import { programsOf } from "./select-stacks.js";
import { type DeployableStack, neighborsOf, type StackService } from "./stack.js";
import { copyStack } from "./stack-files.js";

/** Name of the deployed stack. */
const STACK = "s";
const HOSTS = 2;
const DEPLOY_TIMEOUT_MS = 300_000;
/** How long to wait for a program's reply. PostgreSQL first creates its databases. */
const ANSWER_TIMEOUT_MS = 60_000;

/** Maximum length of a quoted error message. */
const MAX_PROBLEM_LENGTH = 1_000;

/** The outcome of one stack. */
export interface DeployedStack {
  readonly name: string;
  readonly services: number;
  /** Number of times that a service resolved the name of another. */
  readonly names: number;
  /** Names of the programs that ran in place of the stack's images. */
  readonly programs: readonly string[];
  readonly problems: readonly string[];
}

/** Creates a lab and deploys stacks in it. */
export async function deployInLab(
  stacks: readonly DeployableStack[],
  report: (stack: DeployedStack) => void,
): Promise<readonly DeployedStack[]> {
  const lab = await createCluster(HOSTS);
  try {
    await waitForNetworks(lab);
    await allowHostAccess(lab);
    return await deployStacks(lab, stacks, report);
  } finally {
    await lab.down();
  }
}

/** Permits stacks to mount directories with berth's sockets, as programs such as cAdvisor do. */
async function allowHostAccess(lab: Lab): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "berth-policy-"));
  try {
    const file = join(directory, "policy.yaml");
    writeFileSync(file, stringify({ rules: [{ name: "monitoring", stacks: [STACK], berth_access: true }] }));
    await berth(lab, ["policy", "set", file]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Deploys stacks one after another and removes each again. Services run this machine's program for their image, with
 * the stack's commands and health checks. If there is none, they run a stand-in that only waits until it is stopped.
 */
export async function deployStacks(
  lab: Lab,
  stacks: readonly DeployableStack[],
  report: (stack: DeployedStack) => void = () => {},
): Promise<readonly DeployedStack[]> {
  const programs = new Set([STAND_IN, ...stacks.flatMap((stack) => [...programsOf(stack)])]);
  ensurePackages([...programs].flatMap(({ debianPackage }) => debianPackage ?? []));
  for (const program of programs) await lab.loadImage(directoryOf(program), tagOf(program));
  const deployed: DeployedStack[] = [];
  for (const stack of stacks) {
    const outcome = await deployOne(lab, stack);
    report(outcome);
    deployed.push(outcome);
  }
  return deployed;
}

async function deployOne(lab: Lab, stack: DeployableStack): Promise<DeployedStack> {
  const { name, services, externalNetworks } = stack;
  const directory = mkdtempSync(join(tmpdir(), "berth-stack-"));
  try {
    for (const network of externalNetworks) await berth(lab, ["network", "create", network]);
    const files = copyStack(stack, directory).flatMap((path) => ["-c", path]);
    const argv = ["stack", "deploy", "--quiet", "--no-build", "--profile", "*", ...files, STACK];
    const { code, stderr } = await lab.berth(argv, { timeoutMs: DEPLOY_TIMEOUT_MS });
    const problems = code === 0 ? [] : [`deploy: ${stderr.trim().slice(-MAX_PROBLEM_LENGTH)}`];
    const containers = (await listContainers(lab)).filter(({ running }) => running);
    const missing = services.filter((service) => !containers.some((container) => isOf(container, service)));
    problems.push(...missing.map((service) => `${service.name} does not run`));
    const { names, unresolved } = await resolveNames(lab, services, containers);
    const unanswered = await checkPrograms(lab, services, containers);
    return {
      name,
      services: services.length,
      names,
      programs: [...programsOf(stack)].map((program) => program.name).sort(),
      problems: [...problems, ...unresolved, ...unanswered],
    };
  } finally {
    await lab.berth(["stack", "rm", STACK], { timeoutMs: 4 * CONVERGE_TIMEOUT_MS });
    for (const network of externalNetworks) await lab.berth(["network", "rm", network]);
    rmSync(directory, { recursive: true, force: true });
  }
}

async function berth(lab: Lab, argv: readonly string[]): Promise<void> {
  const { code, stderr } = await lab.berth(argv);
  if (code !== 0) throw new Error(`berth ${argv.join(" ")}: ${stderr}`);
}

/** Looks up each service from every other service on the same network. */
async function resolveNames(
  lab: Lab,
  services: readonly StackService[],
  containers: readonly Container[],
): Promise<{ readonly names: number; readonly unresolved: readonly string[] }> {
  let names = 0;
  const unresolved: string[] = [];
  for (const service of services) {
    const container = containers.find((candidate) => isOf(candidate, service));
    if (container === undefined) continue;
    for (const { name } of neighborsOf(service, services)) {
      if ((await lookUp(lab, container, name)) !== undefined) names += 1;
      else unresolved.push(`${service.name} cannot resolve ${name}`);
    }
  }
  return { names, unresolved };
}

/** Resolves a name inside a container. Returns its address, or undefined if the name does not resolve. */
async function lookUp(lab: Lab, container: Container, name: string): Promise<string | undefined> {
  const argv = ["exec", container.id, "/usr/bin/busybox", "nslookup", "-type=a", name];
  const output = await docker(lab.host(container.host), ...argv).catch(() => "");
  return /^Address(?: \d+)?: (\d+\.\d+\.\d+\.\d+)$/m.exec(output)?.[1];
}

/** Checks that each program replies at its service's address. Returns a line for each program that does not. */
async function checkPrograms(
  lab: Lab,
  services: readonly StackService[],
  containers: readonly Container[],
): Promise<readonly string[]> {
  const unanswered: string[] = [];
  for (const service of services) {
    const container = containers.find((candidate) => isOf(candidate, service));
    if (container === undefined || programFor(service.image) === STAND_IN) continue;
    const address = (await lookUp(lab, container, service.name)) ?? "";
    const [port = ""] = service.ports.map(String);
    const argv = ["exec", container.id, "/usr/bin/check", address, port];
    let problem = "";
    const answers = async (): Promise<boolean> => {
      problem = await docker(lab.host(container.host), ...argv).then(
        () => "",
        (error: Error) => error.message,
      );
      return problem === "";
    };
    const what = `a reply from ${service.name}`;
    await waitUntil(answers, { what, timeoutMs: ANSWER_TIMEOUT_MS }).catch(() => {
      unanswered.push(`${service.name} does not reply: ${problem.slice(0, MAX_PROBLEM_LENGTH)}`);
    });
  }
  return unanswered;
}

function isOf(container: Container, { name }: StackService): boolean {
  return container.service === `${STACK}_${name}`;
}
