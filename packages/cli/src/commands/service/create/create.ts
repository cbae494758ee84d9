import { randomBytes } from "node:crypto";
import {
  applySpecDefaults,
  BerthError,
  EndpointMode,
  ResolveImage,
  ServiceOutcome_Kind,
  ServiceSpec,
  scopedName,
} from "@berth/proto";
import { withClient } from "../../../client/client.js";
import { retryDuringElection } from "../../../client/leader-change.js";
import { parseTimeoutMs } from "../../../options/parse-options.js";
import { parseResolveImage, type ResolveImageOptions } from "../../../options/resolve-image.js";
import { printWarning } from "../../../output/print.js";
import type { Cli, GlobalOptions } from "../../../process/cli.js";
import { readRegistryAuth } from "../../../registry-auth/read-registry-auth.js";
import { type EnvironmentOptions, readEnvironment } from "../../shared/read-environment.js";
import { applyFlags, type UpdateFlagValues } from "../update/apply-flags.js";
import { requireOutcome, waitForChange } from "../wait-for-change.js";
import { CREATE_OPTIONS, optionOf } from "./create-flags.js";
import { parseNetworkFlag } from "./parse-network-flag.js";

/** The options that describe a new service. */
export interface NewServiceOptions extends UpdateFlagValues {
  readonly name?: string;
  readonly stack?: string;
  readonly mode: keyof typeof MODES;
  readonly endpointMode: keyof typeof ENDPOINT_MODES;
  readonly network?: readonly string[];
}

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

/** Makes two services of one image with the same name unlikely: 48 bits. */
const NAME_SUFFIX_BYTES = 6;
/** Leaves room for the suffix and the name of a stack. */
const MAX_NAME_PREFIX = 30;

const MODES = {
  replicated: { $case: "replicated", value: { replicas: 1 } },
  global: { $case: "global", value: {} },
  "replicated-job": { $case: "replicatedJob", value: { totalCompletions: 1, maxConcurrent: 0 } },
  "global-job": { $case: "globalJob", value: {} },
} as const satisfies Readonly<Record<string, ServiceSpec["mode"]>>;

const ENDPOINT_MODES = { vip: EndpointMode.VIP, dnsrr: EndpointMode.DNSRR } as const;

/** The image of a service, and the command that replaces the one of the image. */
export interface CreatedContainer {
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
  const spec = serviceSpecFrom({ ...options, env }, { image, command });
  await withClient(cli, options, async (client) => {
    const credentials = options.withRegistryAuth ? await readRegistryAuth(cli, [spec]) : undefined;
    const request = {
      spec,
      registryLogins: credentials && { credentials: [...credentials] },
      resolveImage: parseResolveImage(options) ?? ResolveImage.ALWAYS,
    };
    const { signal } = cli;
    const response = await retryDuringElection(cli, () => client.createService(request, { signal }));
    if (!options.quiet) for (const warning of response.warnings) printWarning(cli, warning);
    const outcome = requireOutcome(response.service, spec.name);
    if (outcome.kind === ServiceOutcome_Kind.UNCHANGED) throw existsError(spec.name);
    await waitForChange(cli, client, { outcome, options, timeoutMs });
  });
}

/**
 * Returns the spec of a new service, with all defaults.
 * @throws BerthError BERTH_INPUT_INVALID with all problems of the options
 */
export function serviceSpecFrom(
  options: NewServiceOptions,
  { image, command }: CreatedContainer,
): ServiceSpec {
  const { stack = "", name = newName(image, randomBytes(NAME_SUFFIX_BYTES)) } = options;
  const container = { image, ...(command.length === 0 ? {} : { command: { values: [...command] } }) };
  const networks = (options.network ?? []).map(parseNetworkFlag);
  const spec = ServiceSpec.fromPartial({
    name: stack === "" ? name : scopedName(stack, name),
    stack,
    mode: MODES[options.mode],
    endpointMode: ENDPOINT_MODES[options.endpointMode],
    task: { container, networks },
  });
  return applyFlags(applySpecDefaults(spec), updateFlagsOf(options), {
    heading: `service ${spec.name} was not created`,
    optionOf,
  });
}

/** Returns a name for a service of an image, such as "nginx-3f9a1c" for "registry:5000/library/nginx:1.27". */
export function newName(image: string, random: Uint8Array): string {
  const [, base = ""] = /([^/:@]*)(?::[^/:@]*)?(?:@.*)?$/.exec(image) ?? [];
  const prefix = base
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]/g, "-")
    .replace(/^-+/, "")
    .slice(0, MAX_NAME_PREFIX);
  return `${prefix || "service"}-${Buffer.from(random).toString("hex")}`;
}

/** Returns the values of the flags of `berth service update` that have the same effect as these options. */
function updateFlagsOf(options: UpdateFlagValues): UpdateFlagValues {
  const values = CREATE_OPTIONS.map(({ name, flag }) => [attributeOf(flag), options[attributeOf(name)]]);
  return Object.fromEntries(values.filter(([, value]) => value !== undefined));
}

/** Returns the name that commander gives the value of an option: "noHealthcheck" is the value false of "healthcheck". */
function attributeOf(option: string): string {
  return option.replace(/^no-/, "").replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function existsError(name: string): BerthError {
  return new BerthError({
    code: "BERTH_CONFLICT",
    message: `service ${name} was not created: it exists already: choose another name, or use berth service update`,
  });
}
