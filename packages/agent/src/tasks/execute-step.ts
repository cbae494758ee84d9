import { type AssignedRegistryLogin, isBerthError, managedImageId } from "@berth/proto";
import { explainDenial, isRegistryDenial, loginsFor } from "../core/images/registry-logins.js";
import type { PortCheckResult } from "../core/tasks/readiness.js";
import type { Step, StepOutcome } from "../core/tasks/step.js";
import type { Engine, PullProgress } from "../engine/engine.js";
import { type EngineErrorKind, isEngineError } from "../engine/engine-error.js";
import type { ShippedFiles } from "../files/shipped-files.js";
import type { TaskFiles } from "../files/task-files.js";
import type { CheckPort } from "../node/probe/check-port.js";
import { checkHealth } from "./check-health.js";
import type { ConcurrencyLimits } from "./concurrency-limits.js";
import { createContainer } from "./create-container.js";
import type { ImageCache } from "./image-cache.js";
import { runHooks } from "./run-hooks.js";

export interface StepTools {
  readonly engine: Engine;
  readonly limits: ConcurrencyLimits;
  readonly images: ImageCache;
  readonly checkPort: CheckPort;
  /** Writes a text to a file that containers can mount, and returns its path. */
  readonly shareFile: (text: string) => Promise<string>;
  readonly taskFiles: TaskFiles;
  /** Undefined where nodes do not transfer images. */
  readonly shippedFiles: ShippedFiles | undefined;
  /** Returns the registry logins that the leader has sent. Never logged. */
  readonly registryLogins: () => readonly AssignedRegistryLogin[];
  readonly onPullProgress: (progress: PullProgress) => void;
  /** Called with the reason when Docker cannot publish ports, and with "" when it has published some. */
  readonly onPortPublishing: (problem: string) => void;
  /** Called with the reason when secrets may reach a disk, and with "" when they do not. */
  readonly onSwapProblem: (problem: string) => void;
}

const FIREWALL_PROBLEM = "Docker cannot publish ports: its firewall rules are gone; restart Docker";

type StepOf<K extends Step["kind"]> = { [P in K]: Extract<Step, { kind: P }> }[K];

/** The step succeeded, and the container has to be inspected. */
interface Changed {
  readonly kind: "changed";
  readonly containerId: string;
}

type Executors = {
  readonly [K in Step["kind"]]: (
    step: StepOf<K>,
    tools: StepTools,
    signal: AbortSignal,
  ) => Promise<StepOutcome | Changed>;
};

/** Errors after which a retry would fail in the same way. */
const PERMANENT_ERRORS: readonly EngineErrorKind[] = [
  "invalid",
  "port-taken",
  "not-found",
  "conflict",
  "api-version",
];

const STEP_EXECUTORS: Executors = {
  "check-image": async ({ image }, { images }, signal) => {
    await images.ensureKnown(image, signal);
    return { kind: "image-known" };
  },
  pull,
  "write-files": async (step, { taskFiles, onSwapProblem }, signal) => {
    await taskFiles.write(step, signal);
    onSwapProblem(taskFiles.swapProblem);
    return { kind: "files-written" };
  },
  "write-shipped": writeShipped,
  create: createContainer,
  connect: async ({ containerId, network, endpoint }, { engine }, signal) => {
    await engine.connectNetwork(network, { containerId, endpoint, signal });
    return { kind: "changed", containerId };
  },
  start,
  "post-start": (step, { engine }, signal) => runHooks(engine, { ...step, phase: "post-start" }, signal),
  "pre-stop": (step, { engine }, signal) => runHooks(engine, { ...step, phase: "pre-stop" }, signal),
  stop: async ({ containerId, graceMs }, { engine }, signal) => {
    await engine.stop(containerId, { graceMs, signal });
    return { kind: "changed", containerId };
  },
  "probe-ports": async ({ containerId, address, ports }, { checkPort }, signal) => {
    const answers = await Promise.all(
      ports.map(async (port) => ({ port, answer: await checkPort(address, port, signal) })),
    );
    signal.throwIfAborted();
    const portsWith = (wanted: PortCheckResult): readonly number[] =>
      answers.filter(({ answer }) => answer === wanted).map(({ port }) => port);
    return {
      kind: "ports-probed",
      containerId,
      refused: portsWith("refused"),
      unanswered: portsWith("unanswered"),
    };
  },
  "check-health": async ({ containerId, processId, command, timeoutMs, intervalMs }, { engine }, signal) => {
    const result = await checkHealth(engine, { containerId, command, timeoutMs }, signal);
    return { kind: "health-checked", containerId, processId, intervalMs, result };
  },
  remove: async ({ containerId }, { engine }, signal) => {
    await engine.remove(containerId, { signal });
    return { kind: "gone", containerId };
  },
  reject: async ({ reason }) => ({ kind: "rejected", reason }),
  "remove-files": async ({ taskId }, { taskFiles, shippedFiles }) => {
    await taskFiles.remove(taskId);
    await shippedFiles?.remove(taskId);
    return { kind: "files-removed" };
  },
};

/** Steps that do not use Docker, so their failures do not depend on it. */
const STEPS_WITHOUT_DOCKER: readonly Step["kind"][] = [
  "probe-ports",
  "write-files",
  "write-shipped",
  "remove-files",
  "reject",
];

/**
 * Executes one step. Never rejects: a failure is an outcome. The inspection after a step has a limit of its own, so
 * that it does not delay the start of the next container.
 */
export async function executeStep<K extends Step["kind"]>(
  step: StepOf<K>,
  tools: StepTools,
  signal: AbortSignal,
): Promise<StepOutcome> {
  const outcome = await attempt(step, tools, signal);
  if (step.kind === "start" && outcome.kind === "observed" && outcome.container.ports.length > 0) {
    tools.onPortPublishing("");
  }
  const mayEndTask = outcome.kind === "rejected" || outcome.kind === "failed";
  const isRepeated = step.kind === "stop" || step.kind === "remove";
  if (!mayEndTask || isRepeated || STEPS_WITHOUT_DOCKER.includes(step.kind)) return outcome;
  return (await daemonFailure(tools.engine, signal)) ?? outcome;
}

async function attempt<K extends Step["kind"]>(
  step: StepOf<K>,
  tools: StepTools,
  signal: AbortSignal,
): Promise<StepOutcome> {
  const { engine, limits } = tools;
  const execute: Executors[K] = STEP_EXECUTORS[step.kind];
  try {
    const outcome = await limits.run(step.kind, async () => {
      signal.throwIfAborted();
      return execute(step, tools, signal);
    });
    if (outcome.kind !== "changed") return outcome;
    return await limits.run("inspect", () => inspect(engine, outcome.containerId, signal));
  } catch (error) {
    return errorOutcome(error, step, signal);
  }
}

/**
 * Returns an outcome when the daemon does not answer. While it shuts down, it first closes its socket, and then fails
 * requests with errors that look like the task's own.
 */
async function daemonFailure(engine: Engine, signal: AbortSignal): Promise<StepOutcome | undefined> {
  try {
    await engine.ping({ signal });
    return undefined;
  } catch (error) {
    if (!isEngineError(error)) return signal.aborted ? { kind: "canceled" } : undefined;
    return { kind: "unknown", reason: error.message };
  }
}

/** Returns the container as Docker reports it now. */
export async function inspect(
  engine: Engine,
  containerId: string,
  signal: AbortSignal,
): Promise<StepOutcome> {
  const container = await engine.inspect(containerId, { signal });
  return container === undefined ? { kind: "gone", containerId } : { kind: "observed", container };
}

/** Pulls the image with the logins for its registry, one after another while the registry refuses them. */
async function pull(step: StepOf<"pull">, tools: StepTools, signal: AbortSignal): Promise<StepOutcome> {
  const { images, registryLogins, onPullProgress } = tools;
  const { image, platform } = step;
  const logins = loginsFor(step, registryLogins());
  let denial = "";
  for (const credentials of logins.length === 0 ? [undefined] : logins.map((login) => login.credentials)) {
    try {
      await images.pull(image, { platform, credentials, signal, onProgress: onPullProgress });
      return { kind: "image-known" };
    } catch (error) {
      if (signal.aborted || !isBerthError(error) || isEngineError(error, "unavailable")) throw error;
      if (managedImageId(image) !== undefined) return { kind: "rejected", reason: error.message };
      if (!isRegistryDenial(error.message)) {
        return { kind: "rejected", reason: `cannot pull image ${image}: ${error.message}` };
      }
      denial = error.message;
    }
  }
  return { kind: "rejected", ...explainDenial(image, logins, denial) };
}

/**
 * Writes the copies of shipped mounts. A missing archive rejects the task, unless there is no leader to ask for the
 * archive.
 */
async function writeShipped(
  step: StepOf<"write-shipped">,
  { shippedFiles }: StepTools,
  signal: AbortSignal,
): Promise<StepOutcome> {
  if (shippedFiles === undefined) return { kind: "rejected", reason: "this node gets no shipped mounts" };
  try {
    await shippedFiles.write(step, signal);
    return { kind: "shipped-written" };
  } catch (error) {
    if (signal.aborted || !isBerthError(error) || error.code === "BERTH_NO_LEADER") throw error;
    return { kind: "rejected", reason: error.message };
  }
}

async function start(
  { containerId }: StepOf<"start">,
  { engine, onPortPublishing }: StepTools,
  signal: AbortSignal,
): Promise<StepOutcome | Changed> {
  try {
    await engine.start(containerId, { signal });
    return { kind: "changed", containerId };
  } catch (error) {
    if (!isEngineError(error, "firewall")) throw error;
    onPortPublishing(FIREWALL_PROBLEM);
    // The rules are also missing for a moment while firewalld reloads, so the start is retried before it is rejected.
    return { kind: "failed", reason: `${FIREWALL_PROBLEM} (${error.message})` };
  }
}

function errorOutcome(error: unknown, step: Step, signal: AbortSignal): StepOutcome {
  if (!isEngineError(error)) {
    if (signal.aborted) return { kind: "canceled" };
    const reason = error instanceof Error ? error.message : String(error);
    return {
      kind: "failed",
      reason: step.kind === "write-files" ? `cannot write secrets: ${reason}` : reason,
    };
  }
  if (error.kind === "unavailable") return { kind: "unknown", reason: error.message };
  const isAboutContainer = "containerId" in step;
  if (isAboutContainer && error.kind === "not-found") return { kind: "gone", containerId: step.containerId };
  if (step.kind === "stop" || step.kind === "remove" || !PERMANENT_ERRORS.includes(error.kind)) {
    return { kind: "failed", reason: error.message };
  }
  return { kind: "rejected", reason: error.message };
}
