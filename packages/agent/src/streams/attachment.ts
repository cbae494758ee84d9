import { setTimeout as sleep } from "node:timers/promises";
import type { AttachOptions, ExecExited, TaskStatus } from "@berth/proto";
import type { ObservedContainer } from "../core/docker/observed-container.js";
import { startFailure } from "../core/tasks/start-failure.js";
import { isFinal } from "../core/tasks/status.js";
import type { OutputChunk } from "../engine/engine.js";
import type { OpenedStream } from "./opened-stream.js";
import type { StreamContext, StreamTasks } from "./stream-context.js";

/** Minimum time to wait for a container. An agent that has just started observes its containers within this time. */
const MIN_WAIT_MS = 3_000;
/** Interval between checks for the container. Short compared with a container start (about 200 ms). */
const POLL_INTERVAL_MS = 10;

/**
 * Attaches to a task's main process. Once connected, starts a container that is waiting for a client. Closing the
 * stream leaves the process running.
 */
export async function openAttachment(
  taskId: string,
  { stdin, size, waitMs }: AttachOptions,
  { engine, tasks, signal }: StreamContext,
): Promise<OpenedStream> {
  const container = await waitForContainer(taskId, Math.max(waitMs, MIN_WAIT_MS), { tasks, signal });
  const stream = await engine.attach(container, { stdin, signal });
  const exit = stream.exitCode().then((exitCode): ExecExited => ({ exitCode, error: "" }));
  const failure = container.state === "created" ? awaitFailedStart(taskId, tasks, signal) : undefined;
  const exited = failure === undefined ? exit : Promise.race([exit, failure]);
  // Callers of `exited` see the error; this prevents an unhandled rejection.
  exited.catch(() => {});
  if (container.state === "created") tasks.onAttached(taskId);
  return {
    stream,
    output: failure === undefined ? stream.output : untilFailure(stream.output, failure),
    started: { tty: container.tty, file: undefined },
    size: container.tty ? size : undefined,
    endsWithCaller: false,
    isHalfOpen: false,
    exited: () => exited,
  };
}

/** Waits for a container that runs, or that a client may attach to before its start. */
async function waitForContainer(
  taskId: string,
  timeoutMs: number,
  { tasks, signal }: Pick<StreamContext, "tasks" | "signal">,
): Promise<ObservedContainer> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const container = tasks.containerOf(taskId);
    const status = tasks.statusOf(taskId);
    if (container?.state === "running" || container?.state === "paused") return container;
    if (isFinal(status)) throw new Error(`task ${taskId} has ended${reasonOf(status)}`);
    if (container?.state === "created") return container;
    if (performance.now() >= deadlineMs) {
      throw new Error(`task ${taskId} has no running container on this node${reasonOf(status)}`);
    }
    await sleep(POLL_INTERVAL_MS, undefined, { signal });
  }
}

function reasonOf(status: TaskStatus | undefined): string {
  return status === undefined || status.message === "" ? "" : `: ${status.message}`;
}

/** Resolves when Docker could not start the container. Never resolves if the container has run. */
async function awaitFailedStart(
  taskId: string,
  tasks: StreamTasks,
  signal: AbortSignal,
): Promise<ExecExited> {
  for (;;) {
    const status = tasks.statusOf(taskId);
    const state = tasks.containerOf(taskId)?.state ?? "created";
    if (state !== "created") return new Promise(() => {});
    if (isFinal(status)) return startFailure(status?.message ?? "");
    await sleep(POLL_INTERVAL_MS, undefined, { signal });
  }
}

/** Yields the output, or nothing if the container fails to start, because Docker may then keep the connection open. */
async function* untilFailure(
  output: AsyncIterable<OutputChunk>,
  failure: Promise<ExecExited>,
): AsyncGenerator<OutputChunk> {
  const chunks = output[Symbol.asyncIterator]();
  const first = await Promise.race([chunks.next(), failure.then(() => undefined)]);
  if (first === undefined || first.done) return;
  yield first.value;
  yield* { [Symbol.asyncIterator]: () => chunks };
}
