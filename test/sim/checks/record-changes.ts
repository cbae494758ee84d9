import { Availability, PortSpec_Mode, TaskState } from "@berth/proto";
import type { Commit } from "../store/sim-etcd.js";
import type { CheckContext } from "./check-context.js";
import { type RecordChange, stateOf, type TaskChange } from "./records.js";

/** Time by which a decision may be written late because etcd is unavailable. */
const WRITTEN_LATE_MS = 30_000;

/** I5, I7, T1 and the part of I4 that concerns placement: which records a server may write. */
export class RecordChanges {
  readonly #context: CheckContext;
  /** IDs of tasks whose container has run. */
  readonly #started = new Set<string>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  noteStarted(taskId: string): void {
    this.#started.add(taskId);
  }

  onCommit(commit: Commit, change: RecordChange, leaderBefore: string | undefined): void {
    const { report } = this.#context;
    const isRecords = change.tasks.length > 0 || change.services.length > 0;
    this.#checkWriter(commit, isRecords, leaderBefore);
    for (const reason of change.unreadable) report("I5", `an unreadable record was written: ${reason}`);
    for (const task of change.tasks) this.#checkTask(task, change);
  }

  /** Compares the writer with the holder of the leader key at the time of the transaction. */
  #checkWriter({ server }: Commit, isRecords: boolean, leaderBefore: string | undefined): void {
    if (!isRecords || server === undefined) return;
    const { cluster, report } = this.#context;
    const writer = cluster.servers.find(({ name }) => name === server.name);
    if (writer?.address !== leaderBefore) {
      report("I7", `${server.name} wrote records while ${leaderBefore ?? "no server"} was the leader`);
    }
  }

  #checkTask({ before, after }: TaskChange, { nodesBefore }: RecordChange): void {
    const { report, records } = this.#context;
    if (after === undefined) return;
    const name = `${after.serviceName}.${after.slot} (${after.id})`;
    if (after.nodeId !== "" && before?.nodeId !== after.nodeId) {
      const is = records.nodes.get(after.nodeId)?.availability;
      const was = nodesBefore.get(after.nodeId)?.availability;
      if (is !== Availability.ACTIVE && was !== Availability.ACTIVE) {
        report("I4", `task ${name} was placed on ${after.nodeId}, which accepts no tasks`);
      }
      this.#checkHostPorts(after.id);
    }
    this.#checkTruth(after.id, name);
    this.#checkTime(before?.status?.sinceMs, after.status?.sinceMs ?? 0, name);
    if (before === undefined) return;
    const [from, to] = [stateOf(before), stateOf(after)];
    if (to < from) report("I5", `the state of task ${name} moved back from ${from} to ${to}`);
    if (from >= TaskState.COMPLETE && to !== from)
      report("I5", `task ${name} ended as ${from} and then as ${to}`);
    if (after.desiredState < before.desiredState)
      report("I5", `the desired state of task ${name} moved back`);
    if (before.nodeId !== "" && before.nodeId !== after.nodeId)
      report("I5", `task ${name} moved to another node`);
    if (before.specVersion !== after.specVersion) report("I5", `task ${name} changed its spec`);
  }

  /**
   * T1: recorded times do not move back, even if servers' clocks do. Otherwise, tasks that wait relative to a recorded
   * time would wait too long. A new leader does not know the times of removed records.
   */
  #checkTime(before: number | undefined, sinceMs: number, name: string): void {
    if (sinceMs === before) return;
    let latestMs = before ?? 0;
    for (const { status } of this.#context.records.tasks.values()) {
      latestMs = Math.max(latestMs, status?.sinceMs ?? 0);
    }
    const backMs = latestMs - sinceMs;
    if (backMs > WRITTEN_LATE_MS)
      this.#context.report("T1", `task ${name} changed ${backMs} ms ago, by its record`);
  }

  #checkHostPorts(taskId: string): void {
    const { report, records } = this.#context;
    const task = records.tasks.get(taskId);
    if (task === undefined) return;
    const own = this.#hostPorts(task.serviceId, task.specVersion);
    if (own.length === 0) return;
    for (const other of records.tasks.values()) {
      if (other.id === taskId || other.nodeId !== task.nodeId || stateOf(other) >= TaskState.COMPLETE)
        continue;
      const clash = this.#hostPorts(other.serviceId, other.specVersion).find((port) => own.includes(port));
      if (clash !== undefined)
        report("I4", `tasks ${taskId} and ${other.id} both have port ${clash} of ${task.nodeId}`);
    }
  }

  #hostPorts(serviceId: string, version: number): readonly number[] {
    const ports = this.#context.records.specOf(serviceId, version)?.ports ?? [];
    return ports.filter(({ mode }) => mode === PortSpec_Mode.HOST).map(({ published }) => published);
  }

  /** Compares a task's record with what happened on its host. */
  #checkTruth(taskId: string, name: string): void {
    const { report, records, cluster } = this.#context;
    const task = records.tasks.get(taskId);
    const state = stateOf(task);
    if (state === TaskState.RUNNING && !this.#started.has(taskId)) {
      report("I5", `task ${name} is recorded as running, but its container never ran`);
    }
    if (state < TaskState.COMPLETE || state === TaskState.LOST) return;
    for (const { docker, name: host } of cluster.hosts) {
      for (const container of docker.containers.values()) {
        if (container.taskId === taskId && container.isRunning) {
          report(
            "I5",
            `task ${name} is recorded as ended (${state}), but its container is running on ${host}`,
          );
        }
      }
    }
  }
}
