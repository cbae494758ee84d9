import type { LogLine, Task } from "@berth/proto";
import type { ControlClient } from "../client/client.js";
import { oneLine, truncate } from "../output/table.js";
import { isFailed } from "../output/task-text.js";
import type { Cli } from "../process/cli.js";
import { hasFailed, isConverged, type Progress, type ServiceProgress, withFailures } from "./progress.js";

/** Timeout of each request. The details are optional and must not delay the error message for long. */
const REQUEST_TIMEOUT_MS = 2_000;

/** Maximum number of services whose details are fetched. */
const MAX_FETCHED_SERVICES = 20;

/** Maximum number of output lines per task. */
const MAX_OUTPUT_LINES = 5;

/** Maximum width of an output line. */
const MAX_LINE_WIDTH = 160;

/**
 * Adds failed tasks that the watch did not report. The tasks of an update that is rolled back immediately may not appear
 * in the stream, but the server keeps them for a while.
 */
export async function addMissedFailures(
  cli: Cli,
  client: ControlClient,
  progress: Progress,
): Promise<Progress> {
  const failed = [...progress.services.values()].filter(hasFailed).slice(0, MAX_FETCHED_SERVICES);
  const completed = await Promise.all(failed.map((service) => fetchFailures(cli, client, service)));
  const services = new Map(progress.services);
  for (const service of completed) services.set(service.id, service);
  return { ...progress, services };
}

async function fetchFailures(
  cli: Cli,
  client: ControlClient,
  service: ServiceProgress,
): Promise<ServiceProgress> {
  const signal = AbortSignal.any([cli.signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]);
  const { version = 0 } = service;
  try {
    const { tasks } = await client.listTasks({ service: service.id, stack: "", node: "" }, { signal });
    return withFailures(
      service,
      tasks.filter((task) => isFailed(task) && task.specVersion >= version),
    );
  } catch {
    // The details are optional, because the rollout's message also contains a reason.
    return service;
  }
}

/** Returns the last log line of the newest failed task of each service that has not converged. */
export async function fetchLastOutputs(
  cli: Cli,
  client: ControlClient,
  progress: Progress,
): Promise<readonly string[]> {
  const failing = [...progress.services.values()].filter((service) => !isConverged(service));
  const tasks = failing.flatMap((service) => newestFailure(service) ?? []).slice(0, MAX_OUTPUT_LINES);
  const lines = await Promise.all(tasks.map(({ id }) => fetchLastLine(cli, client, id)));
  return lines.filter((line) => line !== undefined).map(formatLine);
}

function newestFailure({ failures }: ServiceProgress): Task | undefined {
  const newestFirst = [...failures.values()].sort((a, b) => b.latest.createdAtMs - a.latest.createdAtMs);
  return newestFirst[0]?.latest;
}

/** Fetches the last log line of a task. Undefined if the task has no log or the request fails. */
async function fetchLastLine(cli: Cli, client: ControlClient, target: string): Promise<LogLine | undefined> {
  const signal = AbortSignal.any([cli.signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]);
  const request = { target, follow: false, tail: 1, sinceMs: 0, untilMs: 0 };
  let newest: LogLine | undefined;
  try {
    for await (const { message } of client.streamLogs(request, { signal })) {
      if (message?.$case === "line" && lineTimeNs(message.value) >= lineTimeNs(newest)) {
        newest = message.value;
      }
    }
  } catch {
    // The details are optional: the lines received so far are good enough.
  }
  return newest;
}

function lineTimeNs(line: LogLine | undefined): bigint {
  const text = line?.entry?.timeNs ?? "";
  return /^\d+$/.test(text) ? BigInt(text) : 0n;
}

function formatLine({ serviceName, entry }: LogLine): string {
  const text = oneLine(Buffer.from(entry?.line ?? []).toString("utf8"));
  return `Last output of ${serviceName}: ${truncate(text, MAX_LINE_WIDTH)}`;
}
