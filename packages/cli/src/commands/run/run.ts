import {
  BerthError,
  type ExecStart,
  PullPolicy,
  ResolveImage,
  RestartPolicy_Condition,
  type ServiceOutcome,
  ServiceSpec,
  scopedName,
} from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { pushMissingImages } from "../../images/push-missing-images.js";
import { parseTimeoutMs } from "../../options/parse-options.js";
import { printWarning } from "../../output/print.js";
import { type Cli, ExitStatus, type GlobalOptions } from "../../process/cli.js";
import { readRegistryAuth } from "../../registry-auth/read-registry-auth.js";
import { newName, withOptions } from "../service/create/new-service.js";
import type { UpdateFlagValues } from "../service/update/apply-flags.js";
import { requireOutcome } from "../service/wait-for-change.js";
import { type EnvironmentOptions, readEnvironment } from "../shared/read-environment.js";
import { ContainerSession, EXIT_BERTH_FAILED, type SessionResult } from "../streams/container-session.js";
import { parseDetachKeys } from "../streams/detach-keys.js";
import { parseTmpfsOption, parseVolumeOption } from "./parse-mount-options.js";
import { RUN_OPTIONS } from "./run-flags.js";

/** Timeout for removing a task that did not start. If the removal fails, the leader removes the task later. */
const REMOVE_TIMEOUT_MS = 5_000;

const PULL_POLICIES = {
  missing: PullPolicy.MISSING,
  always: PullPolicy.ALWAYS,
  never: PullPolicy.NEVER,
} as const;

export interface RunOptions extends GlobalOptions, EnvironmentOptions, UpdateFlagValues {
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly rm?: boolean;
  readonly detach?: boolean;
  readonly detachKeys: string;
  readonly name?: string;
  readonly stack?: string;
  readonly node?: string;
  readonly volume?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly mount?: readonly string[];
  readonly constraint?: readonly string[];
  readonly pull: keyof typeof PULL_POLICIES;
  readonly quiet?: boolean;
  readonly sigProxy: "true" | "false";
  readonly withRegistryAuth?: boolean;
  readonly timeout: string;
}

/**
 * `berth run IMAGE [COMMAND…]`: runs a task once, on any node, with its input and output.
 *
 * @throws ExitStatus with the exit code of the container, or 125 if berth failed
 */
export async function runTask(
  cli: Cli,
  options: RunOptions,
  image: string,
  command: readonly string[] = [],
): Promise<void> {
  try {
    const waitMs = parseTimeoutMs(options.timeout);
    const env = await readEnvironment(cli, options);
    const spec = specFrom({ ...options, env }, { image, command });
    const session = options.detach ? undefined : createSession(cli, options);
    await withClient(cli, options, async (client) => {
      const outcome = await create(cli, client, { spec, options });
      if (session === undefined) {
        cli.stdout.write(`${outcome.name}\n`);
      } else {
        await attach(client, { session, outcome, options, waitMs });
      }
    });
  } catch (error) {
    if (error instanceof ExitStatus) throw error;
    throw new ExitStatus(EXIT_BERTH_FAILED, error);
  }
}

function createSession(
  cli: Cli,
  { interactive = false, tty = false, detachKeys, sigProxy }: RunOptions,
): ContainerSession {
  const keys = parseDetachKeys(detachKeys);
  const signals = sigProxy === "false" ? "none" : "all";
  return new ContainerSession(cli, { stdin: interactive, tty, signals, detachKeys: keys });
}

interface NewTask {
  readonly image: string;
  readonly command: readonly string[];
}

/** Returns the spec of a job with one task, which is not restarted. */
function specFrom(options: RunOptions, { image, command }: NewTask): ServiceSpec {
  const { stack = "", name = newName(image), interactive = false, tty = false, detach = false } = options;
  const spec = ServiceSpec.fromPartial({
    name: stack === "" ? name : scopedName(stack, name),
    stack,
    mode: { $case: "replicatedJob", value: { totalCompletions: 1, maxConcurrent: 1 } },
    autoRemove: options.rm ?? false,
    task: {
      container: {
        image,
        tty,
        stdinOpen: interactive,
        pullPolicy: PULL_POLICIES[options.pull],
        ...(command.length === 0 ? {} : { command: { values: [...command] } }),
        waitForAttach: !detach,
        mounts: (options.tmpfs ?? []).map(parseTmpfsOption),
      },
      restart: { condition: RestartPolicy_Condition.NONE },
    },
  });
  const mount = [...(options.volume ?? []).map(parseVolumeOption), ...(options.mount ?? [])];
  const onNode = options.node === undefined ? [] : [`node.hostname == ${options.node}`];
  const constraint = [...onNode, ...(options.constraint ?? [])];
  return withOptions(spec, { ...options, mount, constraint }, RUN_OPTIONS);
}

async function create(
  cli: Cli,
  client: ControlClient,
  { spec, options }: { readonly spec: ServiceSpec; readonly options: RunOptions },
): Promise<ServiceOutcome> {
  const credentials = options.withRegistryAuth ? await readRegistryAuth(cli, [spec]) : undefined;
  const registryLogins = credentials && { credentials: [...credentials] };
  const pushedImages = await pushMissingImages(cli, client, {
    stack: spec.stack,
    specs: [spec],
    credentials: credentials ?? [],
    isDryRun: false,
    terminal: options.quiet ? undefined : cli.stderr,
  });
  // As in `docker run`, any other image that the node already has is used as it is.
  const request = { spec, registryLogins, resolveImage: ResolveImage.NEVER, pushedImages };
  const { signal } = cli;
  const response = await retryDuringElection(cli, () => client.createService(request, { signal }));
  for (const warning of response.warnings) printWarning(cli, warning);
  return requireOutcome(response.service, spec.name);
}

interface Attachment {
  readonly session: ContainerSession;
  readonly outcome: ServiceOutcome;
  readonly options: RunOptions;
  readonly waitMs: number;
}

/** Attaches to the task, which starts it, and waits for it to end. */
async function attach(client: ControlClient, attachment: Attachment): Promise<void> {
  const { session, outcome, options, waitMs } = attachment;
  const { serviceId, name } = outcome;
  const start: ExecStart = {
    target: serviceId,
    command: undefined,
    readArchive: undefined,
    writeArchive: undefined,
    connectPort: undefined,
    attach: { stdin: options.interactive ?? false, size: session.size, waitMs },
  };
  let end: SessionResult | undefined;
  try {
    end = await session.run(client, start);
  } catch (error) {
    throw session.started === undefined ? error : detachedError(error, name);
  } finally {
    // A task that did not start is of no further use.
    const isOver = session.started === undefined || (end?.kind === "exited" && options.rm === true);
    if (isOver) await remove(client, serviceId);
  }
  if (end.kind === "detached" || (end.exitCode === 0 && end.error === "")) return;
  const cause = end.error === "" ? undefined : notStartedError(name, end.error);
  throw new ExitStatus(end.exitCode, cause);
}

async function remove(client: ControlClient, serviceId: string): Promise<void> {
  const signal = AbortSignal.timeout(REMOVE_TIMEOUT_MS);
  // After a failure, the leader or the user removes the service.
  await client.removeServices({ services: [serviceId], stack: "" }, { signal }).catch(() => {});
}

function notStartedError(name: string, reason: string): BerthError {
  return new BerthError({ code: "BERTH_TASK_FAILED", message: `${name} did not start: ${reason}` });
}

/** Returns the error for a lost connection. The task continues without its client. */
function detachedError(error: unknown, name: string): unknown {
  if (error instanceof ExitStatus) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new BerthError({
    code: "BERTH_SERVER_UNREACHABLE",
    message: `lost connection to ${name}: ${reason}: it may still run; use berth attach or berth logs`,
    cause: error,
  });
}
