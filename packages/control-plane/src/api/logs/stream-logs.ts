import {
  isBerthError,
  type LogLine,
  type StreamLogsRequest,
  type StreamLogsResponse,
  type Task,
} from "@berth/proto";
import { type CallContext, callerKey } from "@berth/proto/rpc";
import { nodeNameById } from "../../core/model/node-name.js";
import { byAge } from "../../core/model/task-state.js";
import { linkSignals } from "../../runtime/abort.js";
import type { ApiContext } from "../api-context.js";
import { findTarget, hasLog } from "../lookup-target.js";
import { type FollowOptions, followLogs } from "./follow-logs.js";
import { LogReader } from "./log-reader.js";
import { formatLogError, type MergedLine, mergePastLogs } from "./past-logs.js";

/** Maximum number of task logs in one request. Each log is a separate stream from its agent. */
const MAX_TASKS = 200;

/**
 * Streams the logs of a service's tasks, or of one task, by time. Past lines are in strict order. Followed lines are in
 * order within a short window. Yields one warning for each node whose logs cannot be read, and continues with the
 * others.
 *
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export async function* streamLogs(
  request: StreamLogsRequest,
  context: ApiContext,
  { signal, caller, client }: Pick<CallContext, "signal" | "caller" | "client">,
): AsyncGenerator<StreamLogsResponse> {
  const target = findTarget(context.state, request.target);
  const all = target.kind === "task" ? [target.task] : [...target.tasks];
  const tasks = all.filter(hasLog).sort(byAge);
  const link = linkSignals(signal, context.signal);
  const reader = new LogReader({ request, context, client: callerKey(caller, client), signal: link.signal });
  try {
    if (tasks.length > MAX_TASKS) {
      yield warning(`only the newest ${MAX_TASKS} of ${tasks.length} tasks are shown`);
    }
    const selectedTasks = tasks.slice(0, MAX_TASKS);
    const skipped = tasks.slice(MAX_TASKS);
    yield* toResponses(
      readLines({ request, target, tasks: selectedTasks, skipped, reader, context }),
      context,
    );
    link.signal.throwIfAborted();
  } finally {
    link.unlink();
    link.abort("the log has been read");
  }
}

/** Yields the past lines that the request asks for, and then, with `follow`, new lines. */
async function* readLines({
  request,
  ...options
}: FollowOptions & { readonly request: StreamLogsRequest }): AsyncGenerator<MergedLine> {
  const includesPast = !request.follow || request.tail !== 0;
  if (includesPast) yield* mergePastLogs(options.tasks.map((task) => options.reader.openPast(task)));
  if (request.follow) yield* followLogs(options);
}

/** Converts lines into responses, and lost logs into warnings. */
async function* toResponses(
  lines: AsyncIterable<MergedLine>,
  context: ApiContext,
): AsyncGenerator<StreamLogsResponse> {
  /** Nodes that were reported as unreachable, and from which no line has come since. */
  const lostNodes = new Set<string>();
  for await (const line of lines) {
    if (line.kind === "line") {
      lostNodes.delete(line.task.nodeId);
      yield { message: { $case: "line", value: toLogLine(line, context) } };
    } else {
      const text = recordLoss(line, lostNodes, context);
      if (text !== undefined) yield warning(text);
    }
  }
}

/** Returns a warning for a log that cannot be read. An unreachable node is added to `lostNodes` and gets one warning. */
function recordLoss(
  { task, error }: Extract<MergedLine, { readonly kind: "lost" }>,
  lostNodes: Set<string>,
  { state }: ApiContext,
): string | undefined {
  const hostname = nodeNameById(task.nodeId, state.nodes);
  const reason = formatLogError(error);
  if (!isBerthError(error, "BERTH_NODE_UNREACHABLE")) {
    return `cannot read the log of task ${formatTaskLabel(task)} on ${hostname}: ${reason}`;
  }
  if (lostNodes.has(task.nodeId)) return undefined;
  lostNodes.add(task.nodeId);
  return `cannot read logs on ${hostname}: ${reason}; lines of its tasks are missing`;
}

function formatTaskLabel({ id, serviceName, slot }: Task): string {
  return `${id} (${serviceName}.${slot})`;
}

function toLogLine(
  { task, entry }: Extract<MergedLine, { readonly kind: "line" }>,
  { state }: ApiContext,
): LogLine {
  const { id: taskId, serviceName, slot } = task;
  return { taskId, serviceName, slot, nodeHostname: nodeNameById(task.nodeId, state.nodes), entry };
}

function warning(value: string): StreamLogsResponse {
  return { message: { $case: "warning", value } };
}
