import {
  type ImageVersion,
  isBerthError,
  type RegistryCredentials,
  type ServiceOutcome,
  type ServiceSpec,
} from "@berth/proto";
import { type ControlClient, withClient } from "../../../client/client.js";
import { retryDuringElection } from "../../../client/leader-change.js";
import { pushMissingImages } from "../../../images/push-missing-images.js";
import { invalidOptionError, parseTimeoutMs } from "../../../options/parse-options.js";
import {
  parseResolveImage,
  RESOLVE_TIMEOUT_MS,
  type ResolveImageOptions,
} from "../../../options/resolve-image.js";
import { printWarning } from "../../../output/print.js";
import type { Cli, GlobalOptions } from "../../../process/cli.js";
import { readRegistryAuth } from "../../../registry-auth/read-registry-auth.js";
import { requestRollback } from "../rollback.js";
import { requireOutcome, waitForChange } from "../wait-for-change.js";
import { applyFlags, hasFlags, type UpdateFlagValues } from "./apply-flags.js";

export interface UpdateOptions extends GlobalOptions, UpdateFlagValues, ResolveImageOptions {
  readonly force?: boolean;
  readonly rollback?: boolean;
  readonly withRegistryAuth?: boolean;
  readonly detach?: boolean;
  readonly quiet?: boolean;
  readonly timeout: string;
}

/** Maximum number of attempts when another update changes the service between the read and the write. */
const MAX_ATTEMPTS = 5;

/** `berth service update SERVICE` */
export async function updateService(cli: Cli, options: UpdateOptions, service: string): Promise<void> {
  const timeoutMs = parseTimeoutMs(options.timeout);
  validateOptions(options);
  await withClient(cli, options, async (client) => {
    const outcome = options.rollback
      ? await requestRollback(cli, client, { service, toVersion: 0 })
      : await requestUpdate(cli, client, { service, options });
    await waitForChange(cli, client, { outcome, options, timeoutMs });
  });
}

function validateOptions(options: UpdateOptions): void {
  const resolvesImage = options.resolveImage === "always";
  const hasChanges =
    hasFlags(options) || options.force === true || options.withRegistryAuth === true || resolvesImage;
  if (options.rollback && hasChanges) {
    throw invalidOptionError("--rollback", "cannot be combined with other changes");
  }
  if (!options.rollback && !hasChanges) {
    throw invalidOptionError("service update", "nothing to update; use --image, --env-add, … or --force");
  }
}

interface UpdateRequest {
  readonly service: string;
  readonly options: UpdateOptions;
}

/** Reads the spec, applies the flags and writes it back. Retries if another update was written in between. */
async function requestUpdate(
  cli: Cli,
  client: ControlClient,
  { service, options }: UpdateRequest,
): Promise<ServiceOutcome> {
  const { signal } = cli;
  let credentials: readonly RegistryCredentials[] | undefined;
  let pushedImages: ImageVersion[] | undefined;
  for (let attempt = 1; ; attempt += 1) {
    const response = await retryDuringElection(cli, () => client.getService({ service }, { signal }));
    const { id = "", spec, version = 0 } = response.service?.service ?? {};
    if (spec === undefined) throw new Error(`the server returned no spec for service ${service}`);
    const updated = applyFlags(spec, options);
    credentials ??= options.withRegistryAuth ? await readRegistryAuth(cli, [updated]) : undefined;
    pushedImages ??= await pushImages(cli, client, { updated, credentials: credentials ?? [], options });
    const request = {
      service: id,
      spec: updated,
      expectedVersion: version,
      force: options.force ?? false,
      registryLogins: credentials && { credentials: [...credentials] },
      resolveImage: parseResolveImage(options),
      pushedImages,
    };
    const call = { signal, timeoutMs: RESOLVE_TIMEOUT_MS };
    try {
      const response = await retryDuringElection(cli, () => client.updateService(request, call));
      if (!options.quiet) {
        for (const warning of response.warnings) printWarning(cli, warning);
      }
      return requireOutcome(response.service, service);
    } catch (error) {
      if (!isBerthError(error, "BERTH_CONFLICT") || attempt >= MAX_ATTEMPTS) throw error;
    }
  }
}

interface UpdatedImage {
  readonly updated: ServiceSpec;
  readonly credentials: readonly RegistryCredentials[];
  readonly options: UpdateOptions;
}

/** Pushes the image if the update changes it and only the local Docker daemon has it. */
async function pushImages(
  cli: Cli,
  client: ControlClient,
  { updated, credentials, options }: UpdatedImage,
): Promise<ImageVersion[]> {
  const mayChangeImage =
    options.image !== undefined || options.force === true || options.resolveImage === "always";
  if (!mayChangeImage || options.resolveImage === "never") return [];
  return pushMissingImages(cli, client, {
    stack: updated.stack,
    specs: [updated],
    credentials,
    isDryRun: false,
    terminal: options.quiet ? undefined : cli.stdout,
  });
}
