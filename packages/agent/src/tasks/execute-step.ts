import { AT_MOST_ONE_LABEL } from "../core/docker/labels.js";
import type { ObservedContainer } from "../core/docker/observed-container.js";
import { RESOLV_CONF } from "../core/networks/resolv-conf.js";
import type { ContainerConfig } from "../core/tasks/container-config.js";
import type { Step } from "../core/tasks/step.js";
import type { StepOutcome } from "../core/tasks/task-memory.js";
import type { Engine, PullProgress } from "../engine/engine.js";
import { type EngineErrorKind, isEngineError } from "../engine/engine-error.js";
import type { Knock } from "../node/probe/knock.js";
import type { ImageCache } from "./image-cache.js";
import type { WorkLanes } from "./work-lanes.js";

export interface ExecutorTools {
  readonly engine: Engine;
  readonly lanes: WorkLanes;
  readonly images: ImageCache;
  readonly knock: Knock;
  /** Keeps a text where containers can have it mounted; returns its path. */
  readonly shareFile: (text: string) => Promise<string>;
  readonly onPullProgress: (progress: PullProgress) => void;
}

type StepOf<K extends Step["kind"]> = { [P in K]: Extract<Step, { kind: P }> }[K];

/** The step went through; what the container is now has to be looked at. */
interface Touched {
  readonly kind: "touched";
  readonly containerId: string;
}

type Executors = {
  readonly [K in Step["kind"]]: (
    step: StepOf<K>,
    tools: ExecutorTools,
    signal: AbortSignal,
  ) => Promise<StepOutcome | Touched>;
};

/** Failures after which trying again is no use. */
const HOPELESS: readonly EngineErrorKind[] = [
  "invalid",
  "port-taken",
  "not-found",
  "conflict",
  "api-version",
];

const EXECUTORS: Executors = {
  "check-image": async ({ image }, { images }, signal) => {
    await images.check(image, signal);
    return { kind: "image-known" };
  },
  pull,
  create,
  connect: async ({ containerId, network, endpoint }, { engine }, signal) => {
    await engine.connectNetwork(network, { containerId, endpoint, signal });
    return { kind: "touched", containerId };
  },
  start: async ({ containerId }, { engine }, signal) => {
    await engine.start(containerId, { signal });
    return { kind: "touched", containerId };
  },
  stop: async ({ containerId, graceMs }, { engine }, signal) => {
    await engine.stop(containerId, { graceMs, signal });
    return { kind: "touched", containerId };
  },
  knock: async ({ containerId, address, targets }, { knock }, signal) => {
    const tried = await Promise.all(
      targets.map(async (port) => ({ port, isRefused: await knock(address, port, signal) })),
    );
    signal.throwIfAborted();
    const refused = tried.filter(({ isRefused }) => isRefused).map(({ port }) => port);
    return { kind: "knocked", containerId, refused };
  },
  remove: async ({ containerId }, { engine }, signal) => {
    await engine.remove(containerId, { signal });
    return { kind: "gone", containerId };
  },
};

/**
 * Runs one step and says what came of it. Never rejects: a failure is an outcome. A look that follows a step goes
 * through the lane of looks, so that it does not keep the next container from being started.
 */
export async function executeStep<K extends Step["kind"]>(
  step: StepOf<K>,
  tools: ExecutorTools,
  signal: AbortSignal,
): Promise<StepOutcome> {
  const { engine, lanes } = tools;
  const execute: Executors[K] = EXECUTORS[step.kind];
  try {
    const outcome = await lanes.run(step.kind, async () => {
      signal.throwIfAborted();
      return execute(step, tools, signal);
    });
    if (outcome.kind !== "touched") return outcome;
    return await lanes.run("look", () => look(engine, outcome.containerId, signal));
  } catch (error) {
    return outcomeOf(error, step, signal);
  }
}

/** What Docker has for a container now. */
export async function look(engine: Engine, containerId: string, signal: AbortSignal): Promise<StepOutcome> {
  const container = await engine.inspect(containerId, { signal });
  return container === undefined ? { kind: "gone", containerId } : { kind: "observed", container };
}

async function pull(step: StepOf<"pull">, tools: ExecutorTools, signal: AbortSignal): Promise<StepOutcome> {
  const { images, onPullProgress } = tools;
  try {
    await images.pull(step.image, { platform: step.platform, signal, onProgress: onPullProgress });
    return { kind: "image-known" };
  } catch (error) {
    if (signal.aborted || !isEngineError(error) || error.kind === "unavailable") throw error;
    return { kind: "rejected", reason: `image ${step.image} cannot be pulled: ${error.message}` };
  }
}

async function create(
  step: StepOf<"create">,
  { engine, images, shareFile }: ExecutorTools,
  signal: AbortSignal,
): Promise<StepOutcome> {
  const { config, taskId } = step;
  try {
    const id = await engine.create(await withResolvConf(config, shareFile), { signal });
    return { kind: "observed", container: justCreated(id, step) };
  } catch (error) {
    if (isEngineError(error, "no-such-image")) images.forget(config.body.Image);
    if (!isEngineError(error, "name-taken")) throw error;
  }
  // Our own, when an earlier attempt went through although its answer was lost.
  const holder = await engine.inspect(config.name, { signal });
  if (holder === undefined) return { kind: "failed", reason: `the name ${config.name} was just in use` };
  if (holder.taskId === taskId) return { kind: "observed", container: holder };
  const reason = `the container name ${config.name} is taken by ${holder.id.slice(0, 12)}, which is not this task's`;
  return { kind: "rejected", reason };
}

async function withResolvConf(
  config: ContainerConfig,
  shareFile: ExecutorTools["shareFile"],
): Promise<ContainerConfig> {
  if (config.resolvConf === undefined) return config;
  const { HostConfig } = config.body;
  const source = await shareFile(config.resolvConf);
  const mount = { Type: "bind", Source: source, Target: RESOLV_CONF, ReadOnly: true } as const;
  const mounts = [...(HostConfig.Mounts ?? []), mount];
  return { ...config, body: { ...config.body, HostConfig: { ...HostConfig, Mounts: mounts } } };
}

/** What an inspect of a container that was created this moment would show: it saves asking. */
function justCreated(id: string, { taskId, config }: StepOf<"create">): ObservedContainer {
  return {
    id,
    name: config.name,
    taskId,
    state: "created",
    exitCode: 0,
    error: "",
    outOfMemory: false,
    health: "none",
    healthOutput: "",
    ports: [],
    networks: Object.keys(config.body.NetworkingConfig?.EndpointsConfig ?? {}).map((network) => ({
      name: network,
      address: "",
      subnet: "",
      gateway: "",
    })),
    tty: config.body.Tty ?? false,
    processId: 0,
    stopGraceMs: config.body.StopTimeout * 1_000,
    atMostOne: config.body.Labels[AT_MOST_ONE_LABEL] === "true",
  };
}

function outcomeOf(error: unknown, step: Step, signal: AbortSignal): StepOutcome {
  if (!isEngineError(error)) {
    if (signal.aborted) return { kind: "cancelled" };
    return { kind: "failed", reason: error instanceof Error ? error.message : String(error) };
  }
  if (error.kind === "unavailable") return { kind: "unknown", reason: error.message };
  const isAboutContainer = "containerId" in step;
  if (isAboutContainer && error.kind === "not-found") return { kind: "gone", containerId: step.containerId };
  if (step.kind === "stop" || step.kind === "remove" || !HOPELESS.includes(error.kind)) {
    return { kind: "failed", reason: error.message };
  }
  return { kind: "rejected", reason: error.message };
}
