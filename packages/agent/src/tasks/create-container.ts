import { AT_MOST_ONE_LABEL, parseResources, RESOURCES_LABEL } from "../core/docker/labels.js";
import type { ObservedContainer } from "../core/docker/observed-container.js";
import { RESOLV_CONF } from "../core/networks/container-dns.js";
import type { ContainerConfig } from "../core/tasks/container-config.js";
import type { Step, StepOutcome } from "../core/tasks/step.js";
import type { Engine } from "../engine/engine.js";
import { isEngineError } from "../engine/engine-error.js";
import type { ShippedFiles } from "../files/shipped-files.js";
import type { TaskFiles } from "../files/task-files.js";
import type { ImageCache } from "./image-cache.js";

type CreateStep = Extract<Step, { kind: "create" }>;

export interface CreateTools {
  readonly engine: Pick<Engine, "create" | "inspect">;
  readonly images: Pick<ImageCache, "forget">;
  /** Writes a text to a file that containers can mount, and returns its path. */
  readonly shareFile: (text: string) => Promise<string>;
  readonly taskFiles: Pick<TaskFiles, "directory">;
  readonly shippedFiles: Pick<ShippedFiles, "directory"> | undefined;
}

/** Creates the container of a task, or adopts a container that an earlier attempt created. */
export async function createContainer(
  step: CreateStep,
  { engine, images, shareFile, taskFiles, shippedFiles }: CreateTools,
  signal: AbortSignal,
): Promise<StepOutcome> {
  const { config, taskId } = step;
  try {
    const id = await engine.create(await withResolvConf(config, shareFile), { signal });
    return { kind: "observed", container: createdContainer(id, step) };
  } catch (error) {
    if (isEngineError(error, "no-such-image")) images.forget(config.body.Image);
    const directories = [taskFiles, ...(shippedFiles === undefined ? [] : [shippedFiles])];
    if (isEngineError(error, "invalid") && isFileMissing(error.message, directories)) {
      const advice = "Docker and the agent must run in the same mount namespace";
      return { kind: "rejected", reason: `${error.message}; ${advice}` };
    }
    if (!isEngineError(error, "name-taken")) throw error;
  }
  // The name may belong to this task's own container: an earlier attempt succeeded, but its response was lost.
  const holder = await engine.inspect(config.name, { signal });
  if (holder === undefined) {
    return { kind: "failed", reason: `the container name ${config.name} was in use a moment ago` };
  }
  if (holder.taskId === taskId) return { kind: "observed", container: holder };
  const reason = `the container name ${config.name} is in use by ${holder.id.slice(0, 12)}, which does not belong to this task`;
  return { kind: "rejected", reason };
}

/** Returns whether Docker does not see a file that the agent has written. */
function isFileMissing(message: string, written: readonly { readonly directory: string }[]): boolean {
  return written.some(({ directory }) => message.includes(`not exist: ${directory}/`));
}

/** Adds a mount of the file /etc/resolv.conf if the container needs its own. */
async function withResolvConf(
  config: ContainerConfig,
  shareFile: CreateTools["shareFile"],
): Promise<ContainerConfig> {
  if (config.resolvConf === undefined) return config;
  const { HostConfig } = config.body;
  const source = await shareFile(config.resolvConf);
  const mount = { Type: "bind", Source: source, Target: RESOLV_CONF, ReadOnly: true } as const;
  const mounts = [...(HostConfig.Mounts ?? []), mount];
  return { ...config, body: { ...config.body, HostConfig: { ...HostConfig, Mounts: mounts } } };
}

/** Returns a created container without an inspection. */
function createdContainer(id: string, { taskId, config }: CreateStep): ObservedContainer {
  return {
    id,
    name: config.name,
    taskId,
    state: "created",
    exitCode: 0,
    error: "",
    outOfMemory: false,
    health: "none",
    healthcheck: undefined,
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
    startedAt: "",
    stopGraceMs: config.body.StopTimeout * 1_000,
    resources: parseResources(config.body.Labels[RESOURCES_LABEL]),
    atMostOne: config.body.Labels[AT_MOST_ONE_LABEL] === "true",
  };
}
