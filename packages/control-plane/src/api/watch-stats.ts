import {
  NodeState,
  type ResourceUsage,
  type Task,
  TaskState,
  type WatchedNodeStats,
  type WatchedTaskStats,
  type WatchStatsRequest,
  type WatchStatsResponse,
} from "@berth/proto";
import { nodeName } from "../core/model/node-name.js";
import { stateOf } from "../core/model/task-state.js";
import { linkSignals } from "../runtime/abort.js";
import { sleep } from "../runtime/clock.js";
import type { ApiContext } from "./api-context.js";
import { findNode, findService } from "./lookup.js";

/** Interval between two responses if the request sets none. */
const DEFAULT_INTERVAL_MS = 2_000;

/** Shortest interval that a request can set. */
const MIN_INTERVAL_MS = 500;

/** Longest interval that a request can set. */
const MAX_INTERVAL_MS = 60_000;

/** Maximum delay of the first response, which waits until every node has sent a sample. */
const FIRST_WAIT_MS = 3_000;

/** Interval between two checks for first samples. */
const FIRST_POLL_MS = 100;

/** Maximum number of tasks in one response. More than a screen shows. */
const MAX_TASKS = 1_000;

/**
 * Streams the resource use of nodes and tasks, busiest tasks first, until the caller leaves or the term ends.
 *
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export async function* watchStats(
  request: WatchStatsRequest,
  context: ApiContext,
  caller: AbortSignal,
): AsyncGenerator<WatchStatsResponse> {
  const { state, runtime, signal: term } = context;
  const serviceId = request.service === "" ? "" : findService(state, request.service).id;
  const nodeId = request.node === "" ? "" : findNode(state, request.node).id;
  const intervalMs = Math.min(
    Math.max(request.intervalMs || DEFAULT_INTERVAL_MS, MIN_INTERVAL_MS),
    MAX_INTERVAL_MS,
  );
  const link = linkSignals(caller, term);
  const { signal } = link;
  const filter = { serviceId, nodeId };
  try {
    await waitForFirstSamples(filter, context, signal);
    while (!signal.aborted) {
      yield requestStats(filter, context);
      await sleep(runtime.clock, intervalMs, signal);
    }
    signal.throwIfAborted();
  } finally {
    link.unlink();
  }
}

interface StatsFilter {
  /** ID of the service to show. Empty for all services. */
  readonly serviceId: string;
  /** ID of the node to show. Empty for all nodes. */
  readonly nodeId: string;
}

async function waitForFirstSamples(
  filter: StatsFilter,
  context: ApiContext,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = context.runtime;
  const deadlineMs = clock.nowMs() + FIRST_WAIT_MS;
  while (!signal.aborted && isPartial(requestStats(filter, context), context) && clock.nowMs() < deadlineMs) {
    await sleep(clock, FIRST_POLL_MS, signal);
  }
}

/** Returns whether a node that is up has sent no sample yet. */
function isPartial({ nodes }: WatchStatsResponse, { state }: ApiContext): boolean {
  return nodes.some(
    ({ nodeId, stats }) => stats === undefined && state.nodes.get(nodeId)?.state === NodeState.READY,
  );
}

/** Returns the latest samples, and keeps the nodes measuring. */
function requestStats(filter: StatsFilter, context: ApiContext): WatchStatsResponse {
  const { state } = context;
  const nodes: WatchedNodeStats[] = [];
  const tasks: WatchedTaskStats[] = [];
  for (const node of state.nodes.values()) {
    if (filter.nodeId !== "" && node.id !== filter.nodeId) continue;
    const sample = context.stats.requestLatest(node.id);
    const hostname = nodeName(node);
    nodes.push({ nodeId: node.id, hostname, stats: sample?.node, tasks: sample?.tasks.length ?? 0 });
    if (sample === undefined) continue;
    const usages = new Map(sample.tasks.map(({ taskId, usage }) => [taskId, usage]));
    for (const task of state.tasks.ofNode(node.id).values()) {
      if (stateOf(task) !== TaskState.RUNNING) continue;
      if (filter.serviceId !== "" && task.serviceId !== filter.serviceId) continue;
      tasks.push(createTaskStats(task, { usage: usages.get(task.id), hostname, context }));
    }
  }
  nodes.sort((a, b) => (a.hostname < b.hostname ? -1 : 1));
  tasks.sort((a, b) => (b.usage?.cpuPercent ?? -1) - (a.usage?.cpuPercent ?? -1));
  return { nodes, tasks: tasks.slice(0, MAX_TASKS), omittedTasks: Math.max(0, tasks.length - MAX_TASKS) };
}

/** Returns the stats of one task. The usage is undefined if the agent cannot see its host's processes. */
function createTaskStats(
  { id: taskId, serviceId, serviceName, slot, specVersion }: Task,
  details: {
    readonly usage: ResourceUsage | undefined;
    readonly hostname: string;
    readonly context: ApiContext;
  },
): WatchedTaskStats {
  const spec = details.context.state.services.versions.specOf(serviceId, specVersion);
  const memoryLimitBytes = spec?.task?.limits?.memoryBytes ?? 0;
  return {
    taskId,
    serviceName,
    slot,
    nodeHostname: details.hostname,
    usage: details.usage,
    memoryLimitBytes,
  };
}
