import type { TaskStatus } from "@berth/proto";
import type { ObservedContainer } from "../core/docker/observed-container.js";
import type { Engine } from "../engine/engine.js";
import { awaitContainer } from "./await-container.js";

/** The parts of Docker that streams to containers use. */
export type StreamEngine = Pick<
  Engine,
  "exec" | "execDetached" | "attach" | "statFile" | "readArchive" | "writeArchive"
>;

/** The tasks of this node, as streams use them. */
export interface StreamTasks {
  containerOf(taskId: string): ObservedContainer | undefined;
  /** Returns undefined for a task that the leader has not assigned yet. */
  statusOf(taskId: string): TaskStatus | undefined;
  /** Starts the container of a task that waits for a client. */
  onAttached(taskId: string): void;
}

/** The dependencies of a stream to a container. */
export interface StreamContext {
  readonly engine: StreamEngine;
  readonly tasks: StreamTasks;
  /** Aborted when the stream has ended, or its caller has left. */
  readonly signal: AbortSignal;
}

/**
 * Returns the container of a task, running or not.
 *
 * @throws Error if there is none
 */
export async function requireContainer(
  taskId: string,
  { tasks, signal }: StreamContext,
): Promise<ObservedContainer> {
  const container = await awaitContainer((id) => tasks.containerOf(id), taskId, signal);
  if (container === undefined) throw new Error(`task ${taskId} has no container on this node`);
  return container;
}

/**
 * Returns the running container of a task.
 *
 * @throws Error if there is none
 */
export async function requireRunning(taskId: string, context: StreamContext): Promise<ObservedContainer> {
  const container = await awaitContainer((id) => context.tasks.containerOf(id), taskId, context.signal);
  if (container?.state !== "running") throw new Error(`task ${taskId} has no running container on this node`);
  return container;
}
