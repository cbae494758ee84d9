import { type Hook, TaskState } from "@berth/proto";
import type { ObservedContainer } from "../docker/observed-container.js";
import type { Decision, Step } from "./step.js";
import { fillTemplate } from "./task-names.js";
import type { Assignment, TaskView } from "./task-view.js";

/** Total timeout of a container's post_start hooks. By default, a rollout waits as long for progress. */
export const POST_START_TIMEOUT_MS = 300_000;
/** Minimum time between the stop signal and SIGKILL when hooks have used up the grace period, as in Kubernetes. */
export const MIN_STOP_GRACE_MS = 2_000;

/** A run of all hooks of one kind in a container, one after another. */
export interface HookRun {
  readonly containerId: string;
  /** The container's main process: the hooks run again after the container was restarted. */
  readonly processId: number;
  readonly hooks: readonly Hook[];
  /** Total time for all hooks. */
  readonly timeoutMs: number;
}

/** The result of a run of hooks. */
export interface HookResult extends Pick<HookRun, "containerId" | "processId"> {
  readonly phase: "post-start" | "pre-stop";
  /** Why a hook failed, which ends the run. Empty if all hooks have succeeded. */
  readonly failure: string;
  readonly durationMs: number;
}

/** The results of the last hooks that ran in the task's container. */
export interface HookMemory {
  readonly postStart: HookResult | undefined;
  readonly preStop: HookResult | undefined;
}

export const NO_HOOKS: HookMemory = { postStart: undefined, preStop: undefined };

/** Records the result of a run of hooks. */
export function afterHooks(before: HookMemory, result: HookResult): HookMemory {
  return result.phase === "post-start" ? { ...before, postStart: result } : { ...before, preStop: result };
}

/** Returns the result for hooks that could not be run. The container is stopped anyway. */
export function failedHooks(
  { kind, containerId, processId }: Extract<Step, { kind: HookResult["phase"] }>,
  reason: string,
): HookResult {
  const failure = `${kind.replace("-", "_")} hooks could not be run: ${reason}`;
  return { phase: kind, containerId, processId, failure, durationMs: 0 };
}

/**
 * Returns the step that runs the post_start hooks, or undefined if there are none, or if they have run. A restarted
 * agent runs them again unless it has already reported the task as running.
 */
export function postStartStep(
  { assignment, memory, status, node }: TaskView,
  container: ObservedContainer,
): Extract<Step, { kind: "post-start" }> | undefined {
  const hooks = withVariables(assignment?.spec.task?.container?.postStart, assignment, node);
  if (hooks.length === 0 || container.state !== "running") return undefined;
  const { postStart } = memory.hooks;
  if (belongsTo(postStart, container)) return undefined;
  if (postStart === undefined && status?.state === TaskState.RUNNING) return undefined;
  const { id: containerId, processId } = container;
  return { kind: "post-start", containerId, processId, hooks, timeoutMs: POST_START_TIMEOUT_MS };
}

/** Returns why a post_start hook of this container failed. Empty if none did. */
export function postStartFailure({ memory }: TaskView, container: ObservedContainer): string {
  const { postStart } = memory.hooks;
  return belongsTo(postStart, container) ? postStart.failure : "";
}

/** Returns whether the task does not count as running yet because its post_start hooks have not succeeded. */
export function isAwaitingPostStart(view: TaskView, container: ObservedContainer): boolean {
  return postStartFailure(view, container) !== "" || postStartStep(view, container) !== undefined;
}

/**
 * Returns the next step toward the end of a running container: first its pre_stop hooks, then the stop signal. The
 * hooks count toward the grace period.
 *
 * @param failure why the agent stops a task that should be running; "" for a task that should not
 */
export function stopDecision(
  { assignment, memory, node }: TaskView,
  container: ObservedContainer,
  { failure, reason }: { readonly failure: string; readonly reason: string },
): Decision {
  const { id: containerId, processId, stopGraceMs } = container;
  const hooks = withVariables(assignment?.spec.task?.container?.preStop, assignment, node);
  const { preStop } = memory.hooks;
  const haveRun = belongsTo(preStop, container);
  if (hooks.length > 0 && container.state === "running" && !haveRun) {
    const step = {
      kind: "pre-stop",
      containerId,
      processId,
      hooks,
      timeoutMs: stopGraceMs,
      failure,
    } as const;
    return { step, reason };
  }
  const graceMs = haveRun ? Math.max(MIN_STOP_GRACE_MS, stopGraceMs - preStop.durationMs) : stopGraceMs;
  return { step: { kind: "stop", containerId, graceMs, failure }, reason };
}

/** Returns whether the stop of a failed task has begun with its pre_stop hooks. It continues even if the task recovers. */
export function isStopping({ memory }: TaskView, container: ObservedContainer): boolean {
  return memory.failure !== "" && belongsTo(memory.hooks.preStop, container);
}

/** Returns `; HOOK failed …` for the message of a task that has ended. Empty if no pre_stop hook failed. */
export function preStopNote({ memory }: TaskView, { id }: ObservedContainer): string {
  const { preStop } = memory.hooks;
  return preStop?.containerId === id && preStop.failure !== "" ? `; ${preStop.failure}` : "";
}

/** Returns the hooks with the placeholders in their environment replaced, as in the container's environment. */
function withVariables(
  hooks: readonly Hook[] | undefined,
  assignment: Assignment | undefined,
  node: TaskView["node"],
): readonly Hook[] {
  if (hooks === undefined || assignment === undefined) return [];
  return hooks.map((hook) => ({
    ...hook,
    env: hook.env.map((entry) => fillTemplate(entry, assignment.task, node)),
  }));
}

/** Returns whether hooks ran in this container since it last started. */
function belongsTo(
  result: HookResult | undefined,
  { id, processId }: ObservedContainer,
): result is HookResult {
  return result?.containerId === id && result.processId === processId;
}
