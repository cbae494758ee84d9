import { BerthError, type Network, type Node, type Service, type Task, taskStateToJSON } from "@berth/proto";
import { byAge, isEnded, stateOf } from "../core/model/task-state.js";
import type { ClusterState } from "../state/cluster-state.js";

/** Limit of names in one error message, which then fits on two lines. */
const MAX_LISTED = 8;

/** Finds a service by id, full name or unique id prefix. @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS */
export function findService(state: ClusterState, reference: string): Service {
  const exact = state.services.get(reference) ?? state.services.byName(reference);
  if (exact !== undefined) return exact;
  return findByPrefix(state.services.values(), {
    noun: "service",
    reference,
    nameOf: (service) => service.spec?.name ?? "",
  });
}

/** Finds a network by id, full name or unique id prefix. @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS */
export function findNetwork(state: ClusterState, reference: string): Network {
  const exact = state.networks.get(reference) ?? state.networks.byName(reference);
  if (exact !== undefined) return exact;
  return findByPrefix(state.networks.values(), {
    noun: "network",
    reference,
    nameOf: (network) => network.spec?.name ?? "",
  });
}

/** Finds a node by id, hostname or unique id prefix. @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS */
export function findNode(state: ClusterState, reference: string): Node {
  const exact = state.nodes.get(reference);
  if (exact !== undefined) return exact;
  const query = { noun: "node", reference, nameOf: hostnameOf };
  const named = [...state.nodes.values()].filter((node) => hostnameOf(node) === reference);
  return named.length === 0 ? findByPrefix(state.nodes.values(), query) : requireOneMatch(named, query);
}

/** The tasks that a reference on the command line selects. */
export type LookupTarget =
  | { readonly kind: "task"; readonly task: Task }
  | {
      readonly kind: "service";
      /** Later tasks of the service belong to the target, too. */
      readonly serviceId: string;
      /** Undefined when the target has the tasks of all slots. */
      readonly slot: string | undefined;
      /** Newest first. */
      readonly tasks: readonly Task[];
    };

/**
 * Finds the target of a reference: SERVICE, SERVICE.SLOT (SERVICE.NODE for a global service), a task's id or a unique
 * prefix of it, or a container name (SERVICE.SLOT.TASK). A service's full name or id takes precedence.
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export function findTarget(state: ClusterState, reference: string): LookupTarget {
  if (reference === "") {
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message: "no service or task given" });
  }
  const service = state.services.get(reference) ?? state.services.byName(reference);
  if (service !== undefined) return createServiceTarget(state, service.id, undefined);
  return (
    findSlotTarget(state, reference) ??
    findTaskTarget(state, reference) ??
    createServiceTarget(state, findService(state, reference).id, undefined)
  );
}

/** Finds the only running task that a reference names. @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS */
export function findRunningTask(state: ClusterState, reference: string): Task {
  const target = findTarget(state, reference);
  const tasks = target.kind === "task" ? [target.task] : target.tasks;
  const running = tasks.filter((task) => hasLog(task) && !isEnded(task));
  const [first, ...others] = running;
  if (first === undefined) throw notRunning(reference, tasks);
  if (others.length === 0) return first;
  const candidates = joinNames(running.map((task) => formatTaskLabel(state, task)).sort());
  throw new BerthError({
    code: "BERTH_AMBIGUOUS",
    message: `service ${first.serviceName} has ${running.length} running tasks: choose one of ${candidates}`,
    details: { candidates },
  });
}

/** Whether a task belongs to a slot: a number, or for global services a node's id or hostname. */
export function isInSlot(state: ClusterState, task: Task, slot: string): boolean {
  if (task.slot !== 0) return String(task.slot) === slot;
  return task.nodeId === slot || hostnameOfTask(state, task) === slot;
}

/** Whether a task has, or had, a container. */
export function hasLog(task: Task): boolean {
  return task.nodeId !== "" && (task.status?.containerId ?? "") !== "";
}

/** Returns the hostname of the task's node, or the node's id when it has none. */
export function hostnameOfTask(state: ClusterState, { nodeId }: Task): string {
  return state.nodes.get(nodeId)?.description?.hostname || nodeId;
}

function createServiceTarget(state: ClusterState, serviceId: string, slot: string | undefined): LookupTarget {
  const all = [...state.tasks.ofService(serviceId).values()];
  const tasks = slot === undefined ? all : all.filter((task) => isInSlot(state, task, slot));
  return { kind: "service", serviceId, slot, tasks: tasks.sort(byAge) };
}

/** Finds `shop_web.2` or `shop_agent.host-1`. Tries each dot, since services and hostnames may contain dots. */
function findSlotTarget(state: ClusterState, reference: string): LookupTarget | undefined {
  for (let dot = reference.indexOf("."); dot > 0; dot = reference.indexOf(".", dot + 1)) {
    const service = state.services.byName(reference.slice(0, dot));
    if (service === undefined) continue;
    const target = createServiceTarget(state, service.id, reference.slice(dot + 1));
    if (target.kind === "service" && target.tasks.length > 0) return target;
  }
  return undefined;
}

function findTaskTarget(state: ClusterState, reference: string): LookupTarget | undefined {
  const task = findTask(state, reference) ?? state.tasks.get(reference.slice(reference.lastIndexOf(".") + 1));
  return task && { kind: "task", task };
}

function findTask(state: ClusterState, reference: string): Task | undefined {
  const exact = state.tasks.get(reference);
  if (exact !== undefined) return exact;
  const matches = [...state.tasks.values()].filter((task) => task.id.startsWith(reference));
  const nameOf = (task: Task): string => `${task.serviceName}.${task.slot}`;
  return matches.length === 0 ? undefined : requireOneMatch(matches, { noun: "task", reference, nameOf });
}

interface Query<T> {
  readonly noun: string;
  readonly reference: string;
  readonly nameOf: (item: T) => string;
}

function findByPrefix<T extends { readonly id: string }>(items: Iterable<T>, query: Query<T>): T {
  const all = [...items];
  const matches = query.reference === "" ? [] : all.filter((item) => item.id.startsWith(query.reference));
  if (matches.length > 0) return requireOneMatch(matches, query);
  throw notFound(all, query);
}

function requireOneMatch<T extends { readonly id: string }>(matches: readonly T[], query: Query<T>): T {
  const [first, ...others] = matches;
  if (first !== undefined && others.length === 0) return first;
  const candidates = joinNames(matches.map((item) => `${query.nameOf(item)} (${item.id})`));
  throw new BerthError({
    code: "BERTH_AMBIGUOUS",
    message: `${JSON.stringify(query.reference)} matches several ${query.noun}s: ${candidates}; use a longer prefix of the id`,
    details: { candidates },
  });
}

function notFound<T>(all: readonly T[], { noun, reference, nameOf }: Query<T>): BerthError {
  const similar = all.map(nameOf).filter((name) => isSimilar(name, reference));
  const hint = similar.length === 0 ? "" : `: did you mean ${joinNames(similar)}?`;
  return new BerthError({
    code: "BERTH_NOT_FOUND",
    message: `no such ${noun}: ${JSON.stringify(reference)}${hint}`,
    details: similar.length === 0 ? {} : { candidates: joinNames(similar) },
  });
}

/** Returns whether the reference is part of the name, such as a service's name without its stack. */
function isSimilar(name: string, reference: string): boolean {
  return reference !== "" && name.toLowerCase().includes(reference.toLowerCase());
}

function notRunning(reference: string, tasks: readonly Task[]): BerthError {
  const [newest] = tasks;
  const message = newest?.status?.message ?? "";
  const state = newest === undefined ? "" : ` (the newest task is ${formatTaskState(newest)})`;
  const reason = message === "" ? state : `${state}: ${message}`;
  return new BerthError({
    code: "BERTH_NOT_FOUND",
    message: `${JSON.stringify(reference)} has no running task${reason}`,
  });
}

function formatTaskLabel(state: ClusterState, task: Task): string {
  const hostname = hostnameOfTask(state, task);
  return task.slot === 0
    ? `${task.serviceName}.${hostname}`
    : `${task.serviceName}.${task.slot} (on ${hostname})`;
}

function formatTaskState(task: Task): string {
  return taskStateToJSON(stateOf(task)).replace("TASK_STATE_", "").toLowerCase();
}

function hostnameOf(node: Node): string {
  return node.description?.hostname ?? "";
}

function joinNames(names: readonly string[]): string {
  const shown = names.slice(0, MAX_LISTED).join(", ");
  return names.length <= MAX_LISTED ? shown : `${shown} and ${names.length - MAX_LISTED} more`;
}
