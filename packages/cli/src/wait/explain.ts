import { type Task, TaskState } from "@berth/proto";
import { counted } from "../output/human.js";
import { oneLine } from "../output/table.js";
import { taskStateWord } from "../output/words.js";
import {
  currentTasks,
  failureCount,
  isFailed,
  isSettled,
  latestFailure,
  type Progress,
  type ServiceProgress,
  stateOf,
} from "./progress.js";

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
    if (stateOf(task) === TaskState.RUNNING) continue;
    const text = slotReason(service, task);
    const earlier = reasons.get(text);
    const failures = Math.max(failureCount(service, task), earlier?.failures ?? 0);
    reasons.set(text, { text, tasks: [...(earlier?.tasks ?? []), taskName(task)], failures });
  }
  return [...reasons.values()].sort((a, b) => b.failures - a.failures || b.tasks.length - a.tasks.length);
}

/** Lines for a person: each service that is not as it should be, under it why. */
export function explainUnsettled(progress: Progress): readonly string[] {
  return [...progress.services.values()].filter((service) => !isSettled(service)).flatMap(explainService);
}

function explainService(service: ServiceProgress): readonly string[] {
  const { watched, name } = service;
  const summary = watched?.summary;
  if (summary === undefined) return [`  ${name}: nothing is known of it yet`];
  const reasons = reasonsOf(service);
  const head = `  ${name}: ${summary.running} of ${counted(summary.desired, "task")} running`;
  if (reasons.length === 0) return [`${head}, ${leftover(service)}`];
  return [head, ...reasons.map((reason) => `    ${explainReason(reason)}`)];
}

function explainReason({ text, tasks, failures }: Reason): string {
  const [first = ""] = tasks;
  const who = tasks.length === 1 ? first : `${first} and ${tasks.length - 1} more`;
  return `${who}: ${text}${failures > 1 ? ` (failed ${failures} times)` : ""}`;
}

function leftover({ watched }: ServiceProgress): string {
  const count = watched?.tasks.length ?? 0;
  return watched?.summary?.service?.removing ? `${counted(count, "task")} left to stop` : "not yet settled";
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
  const state = stateOf(task) === TaskState.NEW ? "waits for a node" : taskStateWord(stateOf(task));
  const message = oneLine(status?.message ?? "");
  const exit = status?.exitCode === undefined ? "" : `exit code ${status.exitCode}`;
  const facts = message.includes(exit) ? [message] : [exit, message];
  return [state, ...facts.filter((fact) => fact !== "")].join(": ");
}

function taskName({ serviceName, slot, nodeId }: Task): string {
  return slot === 0 ? `${serviceName}.${nodeId}` : `${serviceName}.${slot}`;
}
