import { type ServiceSummary, type Task, TaskState } from "@berth/proto";
import { pluralize } from "../output/human.js";
import { jobTotal } from "../output/modes.js";
import { taskStateName } from "../output/state-names.js";
import { oneLine } from "../output/table.js";
import {
  currentTasks,
  failedJob,
  failureCount,
  isConverged,
  isDone,
  isFailed,
  isJob,
  latestFailure,
  type Progress,
  type ServiceProgress,
  stateOf,
} from "./progress.js";
import { rolloutStatus } from "./rollout-status.js";

/** One reason for which tasks do not run, and how many it holds up. */
export interface Reason {
  readonly text: string;
  readonly tasks: readonly string[];
  /** The furthest that these tasks got says how bad it is; sorts the list. */
  readonly failures: number;
}

/** Why a service's tasks do not run, the worst first; tasks with the same reason together. */
export function reasonsOf(service: ServiceProgress): readonly Reason[] {
  const reasons = new Map<string, Reason>();
  for (const task of currentTasks(service)) {
    if (!isDone(service, task)) add(reasons, { text: slotReason(service, task), task, service });
  }
  return worstFirst(reasons);
}

/** Why tasks failed while we watched, whatever took their place since; the worst first. */
function failuresOf(service: ServiceProgress): readonly Reason[] {
  const reasons = new Map<string, Reason>();
  for (const { latest } of service.failures.values()) {
    add(reasons, { text: taskReason(latest), task: latest, service });
  }
  return worstFirst(reasons);
}

function add(
  reasons: Map<string, Reason>,
  { text, task, service }: { text: string; task: Task; service: ServiceProgress },
): void {
  const earlier = reasons.get(text);
  const failures = Math.max(failureCount(service, task), earlier?.failures ?? 0);
  reasons.set(text, { text, tasks: [...(earlier?.tasks ?? []), taskName(task)], failures });
}

function worstFirst(reasons: ReadonlyMap<string, Reason>): readonly Reason[] {
  return [...reasons.values()].sort((a, b) => b.failures - a.failures || b.tasks.length - a.tasks.length);
}

/** How a service has failed for good; undefined when it has not. */
export function failureText(service: ServiceProgress): string | undefined {
  const news = rolloutStatus(service);
  if (news.kind === "paused") return withWord("paused", news.why);
  if (news.kind === "rolled-back") return withWord("rolled back", news.why);
  const job = failedJob(service);
  return job === undefined ? undefined : `the job failed: ${oneLine(job.message) || "see its tasks"}`;
}

/** Lines for a person: each service that is not as it should be, under it why. */
export function explainUnconverged(progress: Progress): readonly string[] {
  return [...progress.services.values()].filter((service) => !isConverged(service)).flatMap(explainService);
}

function explainService(service: ServiceProgress): readonly string[] {
  const { watched, name } = service;
  const summary = watched?.summary;
  if (summary === undefined) return [`  ${name}: nothing is known of it yet`];
  const failure = failureText(service);
  if (failure !== undefined) {
    const reasons = failuresOf(service);
    const shown = reasons.length > 0 ? reasons : reasonsOf(service);
    return [`  ${name}: ${failure}`, ...shown.map((reason) => `    ${explainReason(reason)}`)];
  }
  const reasons = reasonsOf(service);
  const head = `  ${name}: ${howFar(service, summary)}`;
  if (reasons.length === 0) return [`${head}, ${pendingText(service)}`];
  return [head, ...reasons.map((reason) => `    ${explainReason(reason)}`)];
}

function explainReason({ text, tasks, failures }: Reason): string {
  const [first = ""] = tasks;
  const who = tasks.length === 1 ? first : `${first} and ${tasks.length - 1} more`;
  return `${who}: ${text}${failures > 1 ? ` (failed ${failures} times)` : ""}`;
}

function howFar(service: ServiceProgress, summary: ServiceSummary): string {
  const { running, desired, completed } = summary;
  if (isJob(service)) return `${completed} of ${pluralize(jobTotal(summary), "task")} completed`;
  const tasks = pluralize(desired, "task");
  const news = rolloutStatus(service);
  if (news.kind !== "updating") return `${running} of ${tasks} running`;
  return `${updatedSlots(service, news.done)} of ${tasks} updated, ${running} running`;
}

/** The server writes down only now and then how many it has brought to run well; the tasks say it at once. */
export function updatedSlots(service: ServiceProgress, done: number): number {
  return Math.max(done, currentTasks(service).filter((task) => isDone(service, task)).length);
}

/** The server's words may say already what it is that they explain. */
function withWord(word: string, why: string): string {
  return why.includes(word) ? why : `${word}: ${why}`;
}

/** What holds up a service without a task that would say it. */
function pendingText(service: ServiceProgress): string {
  const { watched } = service;
  const count = watched?.tasks.length ?? 0;
  if (watched?.summary?.service?.removing) return `${pluralize(count, "task")} left to stop`;
  const news = rolloutStatus(service);
  if (news.kind === "rolling-back") return `rolling back${news.why === "" ? "" : `: ${news.why}`}`;
  if (news.kind === "updating") return "the update goes on";
  return watched?.summary?.reasons[0] ?? "not yet settled";
}

/** What a slot's task is at; when an attempt before it failed, why that one did. */
function slotReason(service: ServiceProgress, task: Task): string {
  const failure = latestFailure(service, task);
  const isNext = failure !== undefined && failure.id !== task.id && !isFailed(task);
  return isNext ? `${taskReason(failure)}; now ${taskReason(task)}` : taskReason(task);
}

/** `failed: no such file`, with the exit code where the message does not tell it. */
function taskReason(task: Task): string {
  const { status } = task;
  const message = oneLine(status?.message ?? "");
  // What waits for another service looks for no node yet.
  if (stateOf(task) === TaskState.NEW && message.startsWith("waiting for ")) return message;
  const state = stateOf(task) === TaskState.NEW ? "waits for a node" : taskStateName(stateOf(task));
  const exit = status?.exitCode === undefined ? "" : `exit code ${status.exitCode}`;
  const facts = message.includes(exit) ? [message] : [exit, message];
  return [state, ...facts.filter((fact) => fact !== "")].join(": ");
}

function taskName({ serviceName, slot, nodeId }: Task): string {
  return slot === 0 ? `${serviceName}.${nodeId}` : `${serviceName}.${slot}`;
}
