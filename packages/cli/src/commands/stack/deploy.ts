import {
  type DeployStackRequest,
  type DeployStackResponse,
  isBerthError,
  type RegistryCredentials,
  ResolveImage,
  type ServiceOutcome,
  ServiceOutcome_Kind,
} from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { pushMissingImages } from "../../images/push-missing-images.js";
import { invalidOptionError, parseTimeoutMs } from "../../options/parse-options.js";
import { parseResolveImage, type ResolveImageOptions } from "../../options/resolve-image.js";
import { fileOutcomeLines, fileOutcomesJson } from "../../output/files.js";
import { pluralize } from "../../output/human.js";
import { networkOutcomeJson, networkOutcomeLines } from "../../output/networks.js";
import { printJson, printWarning } from "../../output/print.js";
import { registryAuthLines } from "../../output/registry-logins.js";
import { outcomeName } from "../../output/state-names.js";
import { styled } from "../../output/style.js";
import type { Cli, GlobalOptions, Terminal } from "../../process/cli.js";
import { readRegistryAuth } from "../../registry-auth/read-registry-auth.js";
import { pushShipments, shipmentDryRunText } from "../../shipping/push-shipments.js";
import type { AwaitedService } from "../../wait/progress.js";
import { createProgressPrinter, SILENT_PRINTER } from "../../wait/progress-printer.js";
import { waitForServices } from "../../wait/wait-for-services.js";
import { type BuildOptions, type BuiltImages, buildServices, withBuiltImages } from "./build-services.js";
import { showCurrentPlan, showPlan } from "./plan/show-plan.js";
import { explainDenial } from "./policy-denial.js";
import { readSpecs, type StackFiles, type StackSpecs } from "./read-specs.js";

export interface DeployOptions extends GlobalOptions, StackFiles, ResolveImageOptions, BuildOptions {
  readonly prune?: boolean;
  readonly detach?: boolean;
  readonly planRev?: string;
  readonly withRegistryAuth?: boolean;
  readonly timeout: string;
}

/** Timeout of the deploy call. The leader processes all services before it responds. */
const DEPLOY_TIMEOUT_MS = 60_000;

/** `berth stack deploy -c FILE… NAME` */
export async function deployStack(cli: Cli, options: DeployOptions, stack: string): Promise<void> {
  const timeoutMs = parseTimeoutMs(options.timeout);
  if (options.dryRun && options.planRev !== undefined) {
    throw invalidOptionError("--plan-rev", "cannot be combined with --dry-run");
  }
  const stackSpecs = await readSpecs(cli, options, stack);
  // A dry run shows no credentials, so it needs none.
  const sendsAuth = options.withRegistryAuth === true && options.dryRun !== true;
  const credentials = sendsAuth ? await readRegistryAuth(cli, stackSpecs.specs) : undefined;
  const built = await buildServices(cli, stackSpecs, options);
  const terminal = options.output === "json" ? cli.stderr : cli.stdout;
  const deployment: Deployment = { stack, stackSpecs, built, credentials, options, terminal };
  await withClient(cli, options, async (client) => {
    const request = await prepareRequest(cli, client, deployment);
    const explain = async (error: unknown): Promise<never> => {
      throw await explainDenial(cli, client, { error, stack: stackSpecs });
    };
    if (options.dryRun) return showPlan(cli, client, { request, options }).catch(explain);
    const response = await requestDeploy(cli, client, request).catch(explain);
    if (!options.quiet) {
      for (const warning of response.warnings) printWarning(cli, warning);
      terminal.write(registryAuthLines(credentials ?? []));
      printOutcomes(terminal, response);
    }
    if (!options.detach) await waitForDeploy(cli, client, { stack, response, timeoutMs, terminal, options });
    if (options.output === "json") printJson(cli, deployJson(stack, response));
  });
}

/** A stack to deploy, after its files have been read and its images built. */
interface Deployment {
  readonly stack: string;
  readonly stackSpecs: StackSpecs;
  readonly built: BuiltImages;
  readonly credentials: readonly RegistryCredentials[] | undefined;
  readonly options: DeployOptions;
  readonly terminal: Terminal;
}

/** Sends the images, files and directories that only this machine has to nodes. Returns the request to deploy. */
async function prepareRequest(
  cli: Cli,
  client: ControlClient,
  deployment: Deployment,
): Promise<DeployStackRequest> {
  const { stack, stackSpecs, built, credentials, options, terminal } = deployment;
  const specs = withBuiltImages(stackSpecs.specs, built);
  const resolveImage = parseResolveImage(options);
  const pushedImages = await pushMissingImages(cli, client, {
    stack,
    specs,
    built,
    credentials: credentials ?? [],
    onlyBuiltImages: resolveImage === ResolveImage.NEVER,
    isDryRun: options.dryRun === true,
    terminal: options.quiet ? undefined : terminal,
  });
  await shipDirectories(cli, client, deployment);
  return {
    stack,
    services: [...specs],
    prune: options.prune ?? false,
    dryRun: false,
    planRev: options.planRev ?? "",
    networks: [...stackSpecs.networks],
    files: [...stackSpecs.files],
    registryLogins: credentials && { credentials: [...credentials] },
    resolveImage,
    pushedImages,
  };
}

/** Sends the files and directories that services mount. A dry run only prints them. */
async function shipDirectories(
  cli: Cli,
  client: ControlClient,
  { stackSpecs, options, terminal }: Deployment,
): Promise<void> {
  const { dryRun = false, quiet = false } = options;
  const { shippedDirectories: directories } = stackSpecs;
  if (!dryRun) {
    await pushShipments(cli, client, { directories, terminal: quiet ? undefined : terminal });
  } else if (!quiet) {
    terminal.write(shipmentDryRunText(directories));
  }
}

/** Deploys the stack. Prints the current plan if it no longer has the revision of `--plan-rev`. */
async function requestDeploy(
  cli: Cli,
  client: ControlClient,
  request: DeployStackRequest,
): Promise<DeployStackResponse> {
  const call = { signal: cli.signal, timeoutMs: DEPLOY_TIMEOUT_MS };
  try {
    return await retryDuringElection(cli, () => client.deployStack(request, call));
  } catch (error) {
    if (isBerthError(error, "BERTH_PLAN_CHANGED")) await showCurrentPlan(cli, client, request);
    throw error;
  }
}

const OUTCOME_VERBS = new Map<ServiceOutcome_Kind, string>([
  [ServiceOutcome_Kind.CREATED, "Creating"],
  [ServiceOutcome_Kind.UPDATED, "Updating"],
  [ServiceOutcome_Kind.REMOVED, "Removing"],
]);

function printOutcomes(terminal: Terminal, { services, networks, files }: DeployStackResponse): void {
  terminal.write(networkOutcomeLines(networks) + fileOutcomeLines(files));
  for (const { name, kind } of services) {
    const verb = OUTCOME_VERBS.get(kind);
    const line = verb === undefined ? `Service ${name} ${outcomeName(kind)}` : `${verb} service ${name}`;
    terminal.write(`${line}\n`);
  }
}

interface DeployWaitOptions {
  readonly stack: string;
  readonly response: DeployStackResponse;
  readonly timeoutMs: number;
  readonly terminal: Terminal;
  readonly options: DeployOptions;
}

async function waitForDeploy(cli: Cli, client: ControlClient, wait: DeployWaitOptions): Promise<void> {
  const { stack, response, timeoutMs, terminal, options } = wait;
  const printer = options.quiet ? SILENT_PRINTER : createProgressPrinter(terminal, cli.now);
  const services = response.services.map(awaitedService);
  const operation = `deployment of ${stack}`;
  const progress = await waitForServices(cli, client, { services, timeoutMs, printer, operation });
  const present = [...progress.services.values()].filter(({ watched }) => watched?.removed === false);
  const tasks = present.reduce((sum, { watched }) => sum + (watched?.summary?.running ?? 0), 0);
  const verb = styled(cli, terminal, "green", "Deployed");
  if (!options.quiet) {
    terminal.write(
      `${verb} ${stack}: ${pluralize(present.length, "service")}, ${pluralize(tasks, "task")} running\n`,
    );
  }
}

/** Returns the service to wait for. A removal does not create a version. */
function awaitedService({ serviceId, name, version, kind }: ServiceOutcome): AwaitedService {
  const id = serviceId;
  return kind === ServiceOutcome_Kind.REMOVED ? { id, name } : { id, name, version };
}

function deployJson(stack: string, { services, networks, files, warnings }: DeployStackResponse): unknown {
  return {
    stack,
    networks: networks.map(networkOutcomeJson),
    ...fileOutcomesJson(files),
    warnings,
    services: services.map(({ serviceId, name, kind, version }) => ({
      id: serviceId,
      name,
      outcome: outcomeName(kind),
      version,
    })),
  };
}
