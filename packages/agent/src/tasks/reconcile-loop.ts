import { DesiredState, FENCE_GRACE_MS } from "@berth/proto";
import type { Logger } from "pino";
import { parseResources, RESOURCES_LABEL } from "../core/docker/labels.js";
import type { NetworksView } from "../core/networks/task-networks.js";
import type { WorkKind } from "../core/tasks/container-event.js";
import type { ResourcesView } from "../core/tasks/generic-resources.js";
import type { PolicyView } from "../core/tasks/policy-refusal.js";
import { reconcile } from "../core/tasks/reconcile.js";
import { statusOf } from "../core/tasks/status.js";
import type { Step } from "../core/tasks/step.js";
import type { FilesView } from "../core/tasks/task-files.js";
import type { NodeFacts, TaskView } from "../core/tasks/task-view.js";
import type { PullProgress } from "../engine/engine.js";
import { TimerQueue } from "../runtime/timer-queue.js";
import { ConcurrencyLimits } from "./concurrency-limits.js";
import { executeStep, inspect, type StepTools } from "./execute-step.js";
import { ImageCache, type ManagedImages } from "./image-cache.js";
import type { StatusReporter } from "./status-reporter.js";
import type { TaskRecord } from "./task-record.js";
import type { TaskRecords } from "./task-records.js";

/** Delay before an inspection, or a step that failed unexpectedly, is retried although Docker is available. */
const RETRY_MS = 1_000;

const NO_RESOURCES: ReadonlySet<string> = new Set();

/** Steps that do not change the container of a task. */
const CANCELABLE_STEPS: readonly WorkKind[] = ["pull", "write-shipped", "check-health", "post-start"];

export interface ReconcileLoopOptions {
  readonly tasks: TaskRecords;
  readonly reporter: StatusReporter;
  readonly tools: Omit<StepTools, "limits" | "images" | "onPullProgress">;
  /** Undefined where nodes do not transfer images. */
  readonly managedImages: ManagedImages | undefined;
  /** The names of named generic resources, by kind. */
  readonly resourceNames: Readonly<Record<string, readonly string[]>>;
  readonly isFenced: () => boolean;
  readonly networks: () => NetworksView;
  readonly policy: () => PolicyView;
  readonly files: () => FilesView;
  readonly onForgotten: (taskId: string) => void;
  /** Called when containers of unknown tasks may have changed: once for all tasks that were woken together. */
  readonly onKept: () => void;
  readonly log: Logger;
  readonly now: () => number;
}

/**
 * Advances each woken task by one step: inspects its changed containers first, else decides and executes the next step.
 */
export class ReconcileLoop {
  readonly #options: ReconcileLoopOptions;
  readonly #images: ImageCache;
  readonly #limits = new ConcurrencyLimits();
  readonly #timers: TimerQueue;
  readonly #woken = new Set<string>();
  /** Undefined while Docker is unavailable: no task advances. */
  #node: NodeFacts | undefined;
  #mayRemove = false;
  #keepsUnknown = false;

  constructor(options: ReconcileLoopOptions) {
    const { tools, managedImages, now } = options;
    this.#options = options;
    this.#images = new ImageCache(tools.engine, now, managedImages);
    this.#timers = new TimerQueue({ onDue: (taskId) => this.wake(taskId), now });
  }

  /** Called when Docker is available. Docker may have lost images, and a step that failed may succeed now. */
  onEngineConnected(node: NodeFacts): void {
    this.#node = node;
    this.#images.clear();
    for (const record of this.#options.tasks) record.memory = { ...record.memory, retry: undefined };
  }

  /** Called when Docker is unavailable. Cancels steps in flight with this reason. */
  onEngineDisconnected(reason: unknown): void {
    this.#node = undefined;
    for (const { inFlight } of this.#options.tasks) inFlight?.controller.abort(reason);
  }

  /** Permits the removal of containers without an assignment. Called once a complete set of assignments has arrived. */
  allowRemovals(): void {
    this.#mayRemove = true;
  }

  /**
   * Sets whether to keep containers of unknown tasks. At-most-one tasks are never kept: the leader may have replaced
   * them.
   */
  keepUnknown(keepsUnknown: boolean): void {
    this.#keepsUnknown = keepsUnknown;
  }

  /** Returns whether to keep this task's container although it has no assignment. */
  isKept({ assignment, wasRemoved, isAtMostOne }: TaskRecord): boolean {
    return this.#keepsUnknown && assignment === undefined && !wasRemoved && !isAtMostOne;
  }

  get isEngineConnected(): boolean {
    return this.#node !== undefined;
  }

  close(reason: unknown): void {
    this.#timers.close();
    this.onEngineDisconnected(reason);
  }

  /** Advances the task in a later microtask. */
  wake(taskId: string): void {
    if (this.#woken.size === 0) queueMicrotask(() => this.#advanceWoken());
    this.#woken.add(taskId);
  }

  /**
   * Cancels a pull, the transfer of shipped mounts, a health check or post_start hooks if the task should no longer
   * run, since they would delay its stop. Steps that change a container are not canceled.
   */
  cancelUnneededStep({ inFlight, assignment, isAtMostOne }: TaskRecord): void {
    const shouldRun = assignment?.task.desiredState === DesiredState.RUNNING;
    const mayRun = shouldRun && !(isAtMostOne && this.#options.isFenced());
    if (inFlight !== undefined && CANCELABLE_STEPS.includes(inFlight.kind) && !mayRun) {
      inFlight.controller.abort();
    }
  }

  /** Stops a container with the grace period of a fenced task while a stop with a longer one is in flight. */
  shortenStop({ memory, inFlight }: TaskRecord): void {
    if (inFlight?.kind === "pre-stop") inFlight.controller.abort();
    if (inFlight?.kind !== "stop") return;
    const options = { graceMs: FENCE_GRACE_MS, signal: inFlight.controller.signal };
    // A failure changes nothing: the stop in flight reports the outcome.
    void this.#options.tools.engine.stop(memory.containerId, options).catch(() => undefined);
  }

  #advanceWoken(): void {
    const woken = [...this.#woken];
    this.#woken.clear();
    let isKept = false;
    for (const taskId of woken) {
      const record = this.#options.tasks.get(taskId);
      if (record === undefined) continue;
      this.#advance(record);
      isKept ||= this.isKept(record) && record.inFlight === undefined;
    }
    if (isKept && this.#node !== undefined) this.#options.onKept();
  }

  #advance(record: TaskRecord): void {
    const node = this.#node;
    if (node === undefined || record.inFlight !== undefined) return;
    const [stale] = record.staleContainers;
    if (stale !== undefined) this.#inspect(record, stale);
    else if (this.isKept(record)) return;
    else if (this.#mayRemove || record.assignment !== undefined) this.#decide(record, node);
    else if (record.isAtMostOne && this.#options.isFenced()) this.#decide(record, node);
  }

  #decide(record: TaskRecord, node: NodeFacts): void {
    const { reporter, now } = this.#options;
    const decision = reconcile(this.#view(record, node), now());
    reporter.report(record, decision);
    if (decision.isGone && record.assignment === undefined) this.#forget(record);
    if (decision.requeueAtMs !== undefined) this.#timers.set(record.taskId, decision.requeueAtMs);
    if (decision.step !== undefined) this.#execute(record, decision.step, decision.reason ?? "");
  }

  #view(record: TaskRecord, node: NodeFacts): TaskView {
    const image = this.#images.factsOf(record.image);
    const { isFenced, networks, policy, files } = this.#options;
    return record.toView({
      node,
      image,
      networks: networks(),
      policy: policy(),
      files: files(),
      resources: this.#resources(record),
      owners: this.#options.tasks.ownersOf(record),
      isFenced: isFenced(),
    });
  }

  #resources({ taskId }: TaskRecord): ResourcesView {
    const { resourceNames: declared, tasks } = this.#options;
    const hasNames = Object.keys(declared).length > 0;
    return { declared, taken: hasNames ? tasks.resourcesOfOthers(taskId) : NO_RESOURCES };
  }

  #inspect(record: TaskRecord, containerId: string): void {
    const { tools, now } = this.#options;
    record.staleContainers.delete(containerId);
    this.#runWork(record, "inspect", async (signal) => {
      const outcome = await this.#limits
        .run("inspect", () => inspect(tools.engine, containerId, signal))
        .catch(() => undefined);
      if (outcome !== undefined) {
        record.applyInspection(outcome, now());
        return true;
      }
      record.staleContainers.add(containerId);
      this.#timers.set(record.taskId, now() + RETRY_MS);
      return false;
    });
  }

  #execute(record: TaskRecord, step: Step, reason: string): void {
    const { tools, reporter, log, now } = this.#options;
    log.debug({ task: record.taskId, step: step.kind, reason }, "executing step");
    if ((step.kind === "stop" || step.kind === "pre-stop") && step.failure !== "") {
      log.info({ task: record.taskId, reason: step.failure }, "stopping failed task");
      record.memory = { ...record.memory, failure: step.failure };
    }
    if (step.kind === "create") {
      record.createdResources = parseResources(step.config.body.Labels[RESOURCES_LABEL]);
    }
    const stepTools = {
      ...tools,
      limits: this.#limits,
      images: this.#images,
      onPullProgress: (progress: PullProgress) => this.#pullProgressed(record, progress),
    };
    this.#runWork(record, step.kind, async (signal) => {
      const outcome = await executeStep(step, stepTools, signal);
      record.applyOutcome(step, outcome, now());
      reporter.logOutcome(record.taskId, step, outcome);
      return true;
    });
  }

  #pullProgressed(record: TaskRecord, { receivedBytes, totalBytes }: PullProgress): void {
    const node = this.#node;
    if (node === undefined || totalBytes === 0) return;
    record.memory = { ...record.memory, pulledPercent: Math.floor((100 * receivedBytes) / totalBytes) };
    this.#options.reporter.report(record, { status: statusOf(this.#view(record, node), undefined) });
  }

  /**
   * Runs a step or an inspection of the task. If `work` returns true, the task and its companions are woken. If it
   * rejects, which no step is expected to do, the task is woken after a delay.
   */
  #runWork(record: TaskRecord, kind: WorkKind, work: (signal: AbortSignal) => Promise<boolean>): void {
    const controller = new AbortController();
    record.inFlight = { kind, controller };
    work(controller.signal).then(
      (hasChanged) => {
        record.inFlight = undefined;
        if (!hasChanged) return;
        this.wake(record.taskId);
        for (const companion of this.#options.tasks.companionsOf(record.taskId)) this.wake(companion);
      },
      (error: unknown) => {
        record.inFlight = undefined;
        const { log, now } = this.#options;
        log.error({ err: error, task: record.taskId, step: kind }, "step failed unexpectedly");
        this.#timers.set(record.taskId, now() + RETRY_MS);
      },
    );
  }

  #forget({ taskId }: TaskRecord): void {
    this.#options.tasks.delete(taskId);
    this.#timers.clear(taskId);
    this.#options.onForgotten(taskId);
  }
}
