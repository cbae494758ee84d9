import {
  BerthError,
  type LogLine,
  type StreamLogsRequest,
  type StreamLogsResponse,
  type Task,
} from "@berth/proto";
import { byAge } from "../../core/task-state.js";
import { linkSignals } from "../../loop/linked-signal.js";
import { onAbort } from "../../store/abort.js";
import { findService, findTask } from "./find.js";
import { FollowedLogs } from "./followed-logs.js";
import { type LogSource, type MergedLine, mergeEnded } from "./merged-logs.js";
import type { ControlScope } from "./scope.js";

/** Each log is a stream of its own from its agent. More than this nobody reads. */
const MAX_TASKS = 200;

/**
 * The logs of a service's tasks, or of one task. What is past comes in the order of its times; what is followed
 * nearly so. A log that is not to be had is a warning among the lines, and the others go on.
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export async function* streamLogs(
  request: StreamLogsRequest,
  scope: ControlScope,
  caller: AbortSignal,
): AsyncGenerator<StreamLogsResponse> {
  const { tasks, serviceId } = targetOf(request.target, scope);
  const over = linkSignals(caller, scope.signal);
  const open = (task: Task): LogSource => {
    const { follow, tail, sinceMs, untilMs } = request;
    const wanted = { nodeId: task.nodeId, taskId: task.id, follow, tail, sinceMs, untilMs };
    return { task, log: scope.logs.open(wanted, over.signal) };
  };
  try {
    if (tasks.length > MAX_TASKS)
      yield warning(`only the newest ${MAX_TASKS} of ${tasks.length} tasks are shown`);
    const sources = tasks.slice(0, MAX_TASKS).map(open);
    const lines = request.follow
      ? follow(sources, { scope, serviceId, open, signal: over.signal })
      : mergeEnded(sources);
    for await (const line of lines) yield response(line, scope);
    over.signal.throwIfAborted();
  } finally {
    over.unlink();
    over.abort("the log has been read");
  }
}

interface Target {
  /** Newest first. */
  readonly tasks: readonly Task[];
  /** The service whose later tasks belong to the log too; undefined for one task. */
  readonly serviceId: string | undefined;
}

function targetOf(target: string, { state }: ControlScope): Target {
  const task = findTaskFirst(target, state);
  if (task !== undefined) return { tasks: task.nodeId === "" ? [] : [task], serviceId: undefined };
  const service = findService(state, target);
  const tasks = [...state.tasks.ofService(service.id).values()].filter(({ nodeId }) => nodeId !== "");
  return { tasks: tasks.sort(byAge), serviceId: service.id };
}

/** A service's own name or id is never taken for the beginning of a task's id. */
function findTaskFirst(target: string, state: ControlScope["state"]): Task | undefined {
  if (target === "")
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message: "Name a service or a task." });
  const isService = state.services.get(target) !== undefined || state.services.byName(target) !== undefined;
  return isService ? undefined : findTask(state, target);
}

interface FollowOptions {
  readonly scope: ControlScope;
  readonly serviceId: string | undefined;
  readonly open: (task: Task) => LogSource;
  readonly signal: AbortSignal;
}

/** Goes on with tasks that the service gets later. */
async function* follow(
  sources: readonly LogSource[],
  { scope, serviceId, open, signal }: FollowOptions,
): AsyncGenerator<MergedLine> {
  const logs = new FollowedLogs({ clock: scope.runtime.clock, endsWithLogs: serviceId === undefined });
  for (const source of sources) logs.add(source);
  const known = new Set(sources.map(({ task }) => task.id));
  const unsubscribe = scope.state.onChange(({ tasks }) => {
    for (const { after } of tasks.values()) {
      if (after === undefined || after.serviceId !== serviceId || after.nodeId === "") continue;
      if (known.has(after.id)) continue;
      known.add(after.id);
      logs.add(open(after));
    }
  });
  const forget = onAbort(signal, () => logs.end());
  try {
    yield* logs.lines();
  } finally {
    unsubscribe();
    forget();
    logs.end();
  }
}

function response(line: MergedLine, { state }: ControlScope): StreamLogsResponse {
  const { task } = line;
  const hostname = state.nodes.get(task.nodeId)?.description?.hostname || task.nodeId;
  if (line.kind === "warning") {
    return warning(
      `no log of task ${task.id} (${task.serviceName}.${task.slot}) on ${hostname}: ${line.reason}`,
    );
  }
  const value: LogLine = {
    taskId: task.id,
    serviceName: task.serviceName,
    slot: task.slot,
    nodeHostname: hostname,
    chunk: line.chunk,
  };
  return { message: { $case: "line", value } };
}

function warning(value: string): StreamLogsResponse {
  return { message: { $case: "warning", value } };
}
