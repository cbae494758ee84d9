import type { LogLine, StreamLogsRequest, StreamLogsResponse, Task } from "@berth/proto";
import { byAge } from "../../core/model/task-state.js";
import { linkSignals } from "../../runtime/abort.js";
import type { ApiContext } from "../api-context.js";
import { findTarget, hasLog } from "../lookup.js";
import { type FollowOptions, followLogs } from "./follow-logs.js";
import { LogReading } from "./log-reader.js";
import { lossWarnings } from "./log-warnings.js";
import { type MergedLine, mergeEnded } from "./merge-logs.js";

/** Each log is a stream of its own from its agent. More than this nobody reads. */
const MAX_TASKS = 200;

/**
 * The logs of a service's tasks, or of one task, in the order of their times: what is past strictly, what is followed
 * within a small window. A log that is not to be had is a warning among the lines, one for each node, and the others
 * go on. What is followed goes on with later tasks of the service, and with nodes that come back.
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export async function* streamLogs(
  request: StreamLogsRequest,
  scope: ApiContext,
  caller: AbortSignal,
): AsyncGenerator<StreamLogsResponse> {
  const target = findTarget(scope.state, request.target);
  const all = target.kind === "task" ? [target.task] : [...target.tasks];
  const tasks = all.filter(hasLog).sort(byAge);
  const over = linkSignals(caller, scope.signal);
  const reading = new LogReading({ request, scope, signal: over.signal });
  try {
    if (tasks.length > MAX_TASKS)
      yield warning(`only the newest ${MAX_TASKS} of ${tasks.length} tasks are shown`);
    const shown = tasks.slice(0, MAX_TASKS);
    yield* responses(lines({ request, target, tasks: shown, reading, scope }), scope);
    over.signal.throwIfAborted();
  } finally {
    over.unlink();
    over.abort("the log has been read");
  }
}

async function* lines(
  options: FollowOptions & { readonly request: StreamLogsRequest },
): AsyncGenerator<MergedLine> {
  yield* past(options.tasks, options.reading, options.request);
  if (options.request.follow) yield* followLogs(options);
}

/** What has been written until now. Someone who follows from now on wants none of it. */
async function* past(
  tasks: readonly Task[],
  reading: LogReading,
  { follow, tail }: StreamLogsRequest,
): AsyncGenerator<MergedLine> {
  if (follow && tail === 0) return;
  yield* mergeEnded(tasks.map((task) => reading.past(task)));
}

async function* responses(
  lines: AsyncIterable<MergedLine>,
  scope: ApiContext,
): AsyncGenerator<StreamLogsResponse> {
  const warnings = lossWarnings(scope);
  for await (const line of lines) {
    if (line.kind === "lost") {
      for (const text of warnings.of(line)) yield warning(text);
    } else {
      warnings.heard(line.task.nodeId);
      yield { message: { $case: "line", value: logLine(line, scope) } };
    }
  }
}

function logLine(
  { task, chunk }: Extract<MergedLine, { readonly kind: "line" }>,
  { state }: ApiContext,
): LogLine {
  const nodeHostname = state.nodes.get(task.nodeId)?.description?.hostname || task.nodeId;
  return { taskId: task.id, serviceName: task.serviceName, slot: task.slot, nodeHostname, entry: chunk };
}

function warning(value: string): StreamLogsResponse {
  return { message: { $case: "warning", value } };
}
