import {
  BerthError,
  type CreateServiceRequest,
  type CreateServiceResponse,
  isBerthError,
  ResolveImage,
  ServiceOutcome_Kind,
  ServiceSpec,
  scopedName,
} from "@berth/proto";
import { type ControlClient, withClient } from "../../../client/client.js";
import { retryDuringElection } from "../../../client/leader-change.js";
import { pushMissingImages } from "../../../images/push-missing-images.js";
import { parseTimeoutMs } from "../../../options/parse-options.js";
import {
  parseResolveImage,
  RESOLVE_TIMEOUT_MS,
  type ResolveImageOptions,
} from "../../../options/resolve-image.js";
import { printWarning } from "../../../output/print.js";
import type { Cli, GlobalOptions } from "../../../process/cli.js";
import { readRegistryAuth } from "../../../registry-auth/read-registry-auth.js";
import { type EnvironmentOptions, readEnvironment } from "../../shared/read-environment.js";
import type { UpdateFlagValues } from "../update/apply-flags.js";
import { requireOutcome, waitForChange } from "../wait-for-change.js";
import { CREATE_OPTIONS } from "./create-flags.js";
import { newName, withOptions } from "./new-service.js";

const SERVICE_MODES = {
  replicated: { $case: "replicated", value: { replicas: 1 } },
  global: { $case: "global", value: {} },
  "replicated-job": { $case: "replicatedJob", value: { totalCompletions: 1, maxConcurrent: 0 } },
  "global-job": { $case: "globalJob", value: {} },
} as const satisfies Readonly<Record<string, ServiceSpec["mode"]>>;

/** The options that describe a new service. */
export interface NewServiceOptions extends UpdateFlagValues {
  readonly name?: string;
  readonly stack?: string;
  readonly mode: keyof typeof SERVICE_MODES;
}

/** All flags of `berth service create`. */
export interface CreateOptions
  extends GlobalOptions,
    NewServiceOptions,
    EnvironmentOptions,
    ResolveImageOptions {
  readonly withRegistryAuth?: boolean;
  readonly detach?: boolean;
  readonly quiet?: boolean;
  readonly timeout: string;
}

/** The image of a service, and a command that overrides the image's default. Empty to keep the default. */
interface ImageAndCommand {
  readonly image: string;
  readonly command: readonly string[];
}

/** `berth service create IMAGE [COMMAND…]` */
export async function createService(
  cli: Cli,
  options: CreateOptions,
  image: string,
  command: readonly string[] = [],
): Promise<void> {
  const timeoutMs = parseTimeoutMs(options.timeout);
  const env = await readEnvironment(cli, options);
  const spec = specFrom({ ...options, env }, { image, command });
  await withClient(cli, options, async (client) => {
    const credentials = options.withRegistryAuth ? await readRegistryAuth(cli, [spec]) : undefined;
    const resolveImage = parseResolveImage(options) ?? ResolveImage.ALWAYS;
    const pushedImages = await pushMissingImages(cli, client, {
      stack: spec.stack,
      specs: [spec],
      credentials: credentials ?? [],
      onlyBuiltImages: resolveImage === ResolveImage.NEVER,
      isDryRun: false,
      terminal: options.quiet ? undefined : cli.stdout,
    });
    const request = {
      spec,
      registryLogins: credentials && { credentials: [...credentials] },
      resolveImage,
      pushedImages,
    };
    const { service, warnings, mayHaveCreated } = await requestService(cli, client, request);
    if (!options.quiet) {
      for (const warning of warnings) printWarning(cli, warning);
    }
    const outcome = requireOutcome(service, spec.name);
    if (outcome.kind === ServiceOutcome_Kind.UNCHANGED && !mayHaveCreated) {
      throw serviceExistsError(spec.name);
    }
    await waitForChange(cli, client, { outcome, options, timeoutMs });
  });
}

/** The response, and whether an attempt whose response was lost may have created the service already. */
type RequestedService = CreateServiceResponse & { readonly mayHaveCreated: boolean };

/** Requests the service. Repeats the request after a leader change. */
async function requestService(
  cli: Cli,
  client: ControlClient,
  request: CreateServiceRequest,
): Promise<RequestedService> {
  let mayHaveCreated = false;
  const response = await retryDuringElection(cli, async () => {
    try {
      return await client.createService(request, { signal: cli.signal, timeoutMs: RESOLVE_TIMEOUT_MS });
    } catch (error) {
      // A leader whose term ends during the call can have written the service.
      if (isBerthError(error, "BERTH_NOT_LEADER")) mayHaveCreated = true;
      throw error;
    }
  });
  return { ...response, mayHaveCreated };
}

function specFrom(options: NewServiceOptions, { image, command }: ImageAndCommand): ServiceSpec {
  const { stack = "", name = newName(image) } = options;
  const container = { image, command: command.length === 0 ? undefined : { values: [...command] } };
  const spec = ServiceSpec.fromPartial({
    name: stack === "" ? name : scopedName(stack, name),
    stack,
    mode: SERVICE_MODES[options.mode],
    task: { container },
  });
  return withOptions(spec, options, CREATE_OPTIONS);
}

function serviceExistsError(name: string): BerthError {
  return new BerthError({
    code: "BERTH_CONFLICT",
    message: `service ${name} was not created: it already exists; choose another name, or use berth service update`,
  });
}
