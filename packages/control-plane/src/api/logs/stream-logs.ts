import {
  isBerthError,
  type LogLine,
  type StreamLogsRequest,
  type StreamLogsResponse,
  type Task,
} from "@berth/proto";
import { byAge } from "../../core/model/task-state.js";
import { linkSignals } from "../../runtime/abort.js";
import type { ApiContext } from "../api-context.js";
import { findTarget, hasLog, hostnameOfTask } from "../lookup.js";
import { type FollowOptions, followLogs } from "./follow-logs.js";
import { LogReader } from "./log-reader.js";
import { formatLogError, type MergedLine, mergePastLogs } from "./past-logs.js";

/** Limit of logs in one request. Each log takes a separate stream from its agent. */
const MAX_TASKS = 200;

/**
 * Streams the logs of a service's tasks, or of one task, by time. Past lines are in strict order. Followed lines are in
 * order within a short window. Yields one warning for each node whose logs cannot be read, and continues with the others.
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export async function* streamLogs(
  request: StreamLogsRequest,
  context: ApiContext,
  caller: AbortSignal,
): AsyncGenerator<StreamLogsResponse> {
  const target = findTarget(context.state, request.target);
  const all = target.kind === "task" ? [target.task] : [...target.tasks];
  const tasks = all.filter(hasLog).sort(byAge);
  const end = linkSignals(caller, context.signal);
  const reader = new LogReader({ request, context, signal: end.signal });
  try {
    if (tasks.length > MAX_TASKS)
      yield warning(`only the newest ${MAX_TASKS} of ${tasks.length} tasks are shown`);
    const shown = tasks.slice(0, MAX_TASKS);
    yield* responses(mergedLines({ request, target, tasks: shown, reader, context }), context);
    end.signal.throwIfAborted();
  } finally {
    end.unlink();
    end.abort("the log has been read");
  }
}

async function* mergedLines({
  request,
  ...options
}: FollowOptions & { readonly request: StreamLogsRequest }): AsyncGenerator<MergedLine> {
  const includesPast = !request.follow || request.tail !== 0;
  if (includesPast) yield* mergePastLogs(options.tasks.map((task) => options.reader.openPast(task)));
  if (request.follow) yield* followLogs(options);
}

async function* responses(
  lines: AsyncIterable<MergedLine>,
  context: ApiContext,
): AsyncGenerator<StreamLogsResponse> {
  /** Nodes that were reported as unreachable, and from which no line has come since. */
  const lostNodes = new Set<string>();
  for await (const line of lines) {
    if (line.kind === "line") {
      lostNodes.delete(line.task.nodeId);
      yield { message: { $case: "line", value: logLine(line, context) } };
    } else {
      const text = lossWarning(line, lostNodes, context);
      if (text !== undefined) yield warning(text);
    }
  }
}

/** Returns a warning for a log that cannot be read; for an unreachable node, only the first time. */
function lossWarning(
  { task, error }: Extract<MergedLine, { readonly kind: "lost" }>,
  lostNodes: Set<string>,
  { state }: ApiContext,
): string | undefined {
  const hostname = hostnameOfTask(state, task);
  const reason = formatLogError(error);
  if (!isBerthError(error, "BERTH_NODE_UNREACHABLE")) {
    return `cannot read the log of task ${taskLabel(task)} on ${hostname}: ${reason}`;
  }
  if (lostNodes.has(task.nodeId)) return undefined;
  lostNodes.add(task.nodeId);
  return `cannot read logs on ${hostname}: ${reason}; lines of its tasks are missing`;
}

function taskLabel({ id, serviceName, slot }: Task): string {
  return `${id} (${serviceName}.${slot})`;
}

function logLine(
  { task, entry }: Extract<MergedLine, { readonly kind: "line" }>,
  { state }: ApiContext,
): LogLine {
  const { id: taskId, serviceName, slot } = task;
  return { taskId, serviceName, slot, nodeHostname: hostnameOfTask(state, task), entry };
}

function warning(value: string): StreamLogsResponse {
  return { message: { $case: "warning", value } };
}
