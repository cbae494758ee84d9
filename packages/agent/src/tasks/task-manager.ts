import { DesiredState, FENCE_GRACE_MS, TaskState, type TaskStatus } from "@berth/proto";
import type { Logger } from "pino";
import type { ContainerSummary } from "../core/docker/observed-container.js";
import type { NetworksView } from "../core/networks/networks-view.js";
import { type ContainerEvent, eventEffect, type WorkKind } from "../core/tasks/container-event.js";
import type { NodeFacts } from "../core/tasks/node-facts.js";
import { reconcile } from "../core/tasks/reconcile.js";
import { processEndedStatus, statusOf } from "../core/tasks/status.js";
import type { Step } from "../core/tasks/step.js";
import { restoredMemory } from "../core/tasks/task-memory.js";
import type { Assignment, AssignmentChange, TaskView } from "../core/tasks/task-view.js";
import type { Engine, EngineInfo, PullProgress } from "../engine/engine.js";
import { EngineError } from "../engine/engine-error.js";
import type { RunningContainer } from "../node/host/process-watch.js";
import type { Knock } from "../node/probe/knock.js";
import { TimerQueue } from "../runtime/timer-queue.js";
import { type EngineListener, watchEngine } from "./engine-watch.js";
import { executeStep, look } from "./execute-step.js";
import { ImageCache } from "./image-cache.js";
import { Reporter, type ReporterOptions } from "./reporter.js";
import type { InFlight, TaskRecord } from "./task-record.js";
import { type KnownTasks, TaskRecords } from "./task-records.js";
import { WorkLanes } from "./work-lanes.js";

/** A look that failed although Docker is not away. */
const LOOK_AGAIN_MS = 1_000;

export interface TaskManagerOptions extends ReporterOptions {
  readonly engine: Engine;
  readonly knock: Knock;
  /** Keeps a text where containers can have it mounted; returns its path. */
  readonly shareFile: (text: string) => Promise<string>;
  readonly node: Omit<NodeFacts, "engineApiVersion">;
  readonly now?: () => number;
  /** Whether the leader is out of reach for so long that at-most-one tasks must not run here. */
  readonly isCutOff: () => boolean;
  /** The networks that tasks of this host can be in, as they are now. */
  readonly networks: () => NetworksView;
  /** Nothing of a task that is not assigned any more is left. */
  readonly onForgotten: (taskId: string) => void;
  /** The daemon answers, with what it says of itself. */
  readonly onEngineUp: (info: EngineInfo) => void;
  /** Said once, however long the daemon stays away. */
  readonly onEngineAway: (reason: string) => void;
}

/**
 * Makes Docker match what is assigned: observe, decide, do one step, observe again, task by task. It is woken by
 * events and never scans; every task has at most one step under way.
 *
 * Containers that nobody assigned are left alone until a complete set of assignments has come.
 */
export class TaskManager {
  readonly #tasks = new TaskRecords();
  readonly #options: TaskManagerOptions;
  readonly #now: () => number;
  readonly #log: Logger;
  readonly #images: ImageCache;
  readonly #lanes = new WorkLanes();
  readonly #agenda: TimerQueue;
  readonly #reporter: Reporter;
  readonly #woken = new Set<string>();
  #node: NodeFacts | undefined;
  #isSetComplete = false;

  constructor(options: TaskManagerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#log = options.log;
    this.#reporter = new Reporter(options);
    this.#images = new ImageCache(options.engine, this.#now);
    this.#agenda = new TimerQueue({ onDue: (taskId) => this.#wake(taskId), now: this.#now });
  }

  /** What is known of tasks at the moment. */
  get tasks(): KnownTasks {
    return this.#tasks;
  }

  /** Works until the signal fires; then calls off what is under way. Containers stay as they are. */
  async run(signal: AbortSignal): Promise<void> {
    await watchEngine(this.#options.engine, this.#listener(), signal);
    this.#agenda.close();
    this.#node = undefined;
    this.#cancelAll(signal.reason);
  }

  /** What an earlier run of the agent last said of a task. To be called before `run`. */
  restore(taskId: string, status: TaskStatus): void {
    const record = this.#tasks.getOrCreate(taskId);
    record.status = status;
    record.memory = restoredMemory(status.containerId);
  }

  assign({ isComplete, assigned, removedTaskIds }: AssignmentChange): void {
    for (const assignment of assigned) this.#assignTask(assignment);
    for (const taskId of removedTaskIds) this.#unassign(taskId);
    if (!isComplete) return;
    this.#isSetComplete = true;
    const wanted = new Set(assigned.map(({ task }) => task.id));
    for (const { taskId } of this.#tasks) if (!wanted.has(taskId)) this.#unassign(taskId);
  }

  /** The leader went out of reach, or is back. A stop that is under way with a long grace is made short. */
  contactChanged(): void {
    for (const record of this.#tasks) {
      if (!record.isAtMostOne) continue;
      this.#wake(record.taskId);
      if (record.inFlight?.kind === "stop" && this.#options.isCutOff()) this.#hurry(record, record.inFlight);
    }
  }

  /** A network has come further: tasks may be waiting for it. */
  networksChanged(): void {
    for (const taskId of this.#tasks.needingNetworks()) this.#wake(taskId);
  }

  /** This host has seen a container's process end, whether or not Docker is there to say so. */
  processEnded({ taskId, containerId }: RunningContainer): void {
    const record = this.#tasks.get(taskId);
    if (record === undefined) return;
    this.#noteProcessEnded(record, containerId);
    record.stale.add(containerId);
    this.#wake(taskId);
  }

  #assignTask(assignment: Assignment): void {
    const record = this.#tasks.getOrCreate(assignment.task.id);
    const isKnown = record.assignment !== undefined;
    record.assign(assignment);
    if (isKnown) this.#callOff(record);
    this.#wake(record.taskId);
  }

  #unassign(taskId: string): void {
    const record = this.#tasks.getOrCreate(taskId);
    record.assignment = undefined;
    this.#callOff(record);
    this.#wake(taskId);
  }

  #hurry({ memory }: TaskRecord, { controller: { signal } }: InFlight): void {
    const options = { graceMs: FENCE_GRACE_MS, signal };
    void this.#options.engine.stop(memory.containerId, options).catch(() => undefined);
  }

  /** Ends a pull that may not be needed any more; steps that change a container run to their end. */
  #callOff({ inFlight, assignment }: TaskRecord): void {
    const isWanted = assignment?.task.desiredState === DesiredState.RUNNING;
    if (inFlight?.kind === "pull" && !isWanted) inFlight.controller.abort();
  }

  #listener(): EngineListener {
    return {
      onConnected: (info, containers) => this.#connected(info, containers),
      onListed: (containers) => this.#listed(containers),
      onEvent: (event) => this.#event(event),
      onAway: (reason) => this.#away(reason),
    };
  }

  #connected(info: EngineInfo, containers: readonly ContainerSummary[]): void {
    this.#log.info(
      { version: info.version, api: info.apiVersion, containers: containers.length },
      "Docker answers",
    );
    this.#node = { ...this.#options.node, engineApiVersion: info.apiVersion };
    this.#images.clear();
    for (const record of this.#tasks) record.memory = { ...record.memory, retry: undefined };
    this.#options.onEngineUp(info);
    this.#listed(containers);
  }

  #listed(containers: readonly ContainerSummary[]): void {
    const present = new Set(containers.map(({ id }) => id));
    for (const summary of containers) this.#tasks.getOrCreate(summary.taskId).applySummary(summary);
    for (const record of this.#tasks) {
      // A container that was created since the listing is missing in it, too: a look tells.
      for (const id of record.containers.keys()) if (!present.has(id)) record.stale.add(id);
      this.#wake(record.taskId);
    }
  }

  #away(reason: Error): void {
    this.#log.warn({ reason: reason.message }, "Docker is away; containers that run stay as they are");
    this.#node = undefined;
    for (const record of this.#tasks) record.markUnobserved();
    this.#options.onEngineAway(reason.message);
    this.#cancelAll(new EngineError("unavailable", reason.message, reason));
  }

  #cancelAll(reason: unknown): void {
    for (const { inFlight } of this.#tasks) inFlight?.controller.abort(reason);
  }

  #event(event: ContainerEvent): void {
    // A start tells of a container that somebody made with our label; the rest is the echo of what is done with.
    const known = this.#tasks.get(event.taskId);
    if (known === undefined && event.kind !== "started") return;
    const record = known ?? this.#tasks.getOrCreate(event.taskId);
    const state = record.containers.get(event.containerId)?.state;
    const effect = eventEffect(event, { inFlight: record.inFlight?.kind, state });
    if (effect === "remember-signal") record.memory = { ...record.memory, externalSignal: event.unixSignal };
    if (effect !== "look") return;
    if (event.kind === "ended") this.#noteProcessEnded(record, event.containerId);
    record.stale.add(event.containerId);
    this.#wake(event.taskId);
  }

  /**
   * No more connections for it, at once: Docker answers questions about a container only when it is done with its end,
   * which may take longer than clients wait. Whoever is stopped on purpose has left the tables before.
   */
  #noteProcessEnded(record: TaskRecord, containerId: string): void {
    const { inFlight, status } = record;
    if (inFlight?.kind === "stop" || inFlight?.kind === "remove") return;
    if (!record.markProcessEnded(containerId) || status?.state !== TaskState.RUNNING) return;
    this.#reporter.report(record, { status: processEndedStatus(status) });
  }

  #wake(taskId: string): void {
    if (this.#woken.size === 0) queueMicrotask(() => this.#pump());
    this.#woken.add(taskId);
  }

  #pump(): void {
    const woken = [...this.#woken];
    this.#woken.clear();
    for (const taskId of woken) {
      const record = this.#tasks.get(taskId);
      if (record !== undefined) this.#advance(record);
    }
  }

  /** The loop of one task: look if something may have changed, otherwise decide and do. */
  #advance(record: TaskRecord): void {
    const node = this.#node;
    if (node === undefined || record.inFlight !== undefined) return;
    const [stale] = record.stale;
    if (stale !== undefined) this.#look(record, stale);
    else if (this.#isSetComplete || record.assignment !== undefined) this.#decide(record, node);
    else if (record.isAtMostOne && this.#options.isCutOff()) this.#decide(record, node);
  }

  #decide(record: TaskRecord, node: NodeFacts): void {
    const decision = reconcile(this.#view(record, node), this.#now());
    this.#reporter.report(record, decision);
    if (decision.isGone && record.assignment === undefined) this.#forget(record);
    if (decision.requeueAtMs !== undefined) this.#agenda.set(record.taskId, decision.requeueAtMs);
    if (decision.step !== undefined) this.#execute(record, decision.step, decision.reason ?? "");
  }

  #view(record: TaskRecord, node: NodeFacts): TaskView {
    const image = this.#images.factsOf(record.image);
    const { isCutOff, networks } = this.#options;
    return record.view({ node, image, networks: networks(), isFenced: isCutOff() });
  }

  #look(record: TaskRecord, containerId: string): void {
    record.stale.delete(containerId);
    this.#begin(record, "look", async (signal) => {
      const outcome = await this.#lanes
        .run("look", () => look(this.#options.engine, containerId, signal))
        .catch(() => undefined);
      if (outcome !== undefined) {
        record.applyInspection(outcome, this.#now());
        return true;
      }
      record.stale.add(containerId);
      this.#agenda.set(record.taskId, this.#now() + LOOK_AGAIN_MS);
      return false;
    });
  }

  #execute(record: TaskRecord, step: Step, reason: string): void {
    this.#log.debug({ task: record.taskId, step: step.kind, reason }, "step");
    if (step.kind === "stop" && step.failing !== "") {
      this.#log.info({ task: record.taskId, reason: step.failing }, "stopping a task that should run");
      record.memory = { ...record.memory, failing: step.failing };
    }
    const tools = {
      engine: this.#options.engine,
      knock: this.#options.knock,
      shareFile: this.#options.shareFile,
      lanes: this.#lanes,
      images: this.#images,
      onPullProgress: (progress: PullProgress) => this.#pullProgressed(record, progress),
    };
    this.#begin(record, step.kind, async (signal) => {
      const outcome = await executeStep(step, tools, signal);
      record.applyOutcome(step, outcome, this.#now());
      this.#reporter.logOutcome(record.taskId, step, outcome);
      return true;
    });
  }

  #pullProgressed(record: TaskRecord, { receivedBytes, totalBytes }: PullProgress): void {
    const node = this.#node;
    if (node === undefined || totalBytes === 0) return;
    record.memory = { ...record.memory, pulledPercent: Math.floor((100 * receivedBytes) / totalBytes) };
    this.#reporter.report(record, { status: statusOf(this.#view(record, node), undefined) });
  }

  /** Runs one piece of work on the task, and then looks at the task again if there is something new. */
  #begin(record: TaskRecord, kind: WorkKind, work: (signal: AbortSignal) => Promise<boolean>): void {
    const controller = new AbortController();
    record.inFlight = { kind, controller };
    void work(controller.signal).then((isNews) => {
      record.inFlight = undefined;
      if (isNews) this.#wake(record.taskId);
    });
  }

  #forget({ taskId }: TaskRecord): void {
    this.#tasks.delete(taskId);
    this.#agenda.clear(taskId);
    this.#options.onForgotten(taskId);
  }
}
