import { CronSpec_Concurrency, type Service, type ServiceSpec, TaskState } from "@berth/proto";
import {
  type CheckContext,
  describeContainer,
  type RunningContainer,
  runningContainers,
} from "./check-context.js";
import { isJob, type RecordChange, stateOf, type TaskChange } from "./records.js";
import { groupBy } from "./task-counts.js";

/** J1 to J4: completed work is not repeated, concurrency limits hold, and no scheduled time starts two runs. */
export class Jobs {
  readonly #context: CheckContext;
  /** Completed tasks as `SERVICE/RUN/SLOT`. */
  readonly #done = new Set<string>();
  /** The last scheduled time at which a run started, by service. */
  readonly #lastDueMs = new Map<string, number>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  onChange({ tasks, services }: RecordChange): void {
    for (const task of tasks) this.#checkTask(task);
    for (const { before, after } of services) {
      if (before !== undefined && after !== undefined) this.#checkSchedule(before, after);
    }
  }

  /** Checks the running containers of jobs. */
  check(): void {
    const { conditions: contact, records } = this.#context;
    const running = runningContainers(this.#context).filter(({ host, container }) => {
      return records.runs.has(container.taskId) && !contact.isDisrupted(host.name);
    });
    for (const [serviceId, ofService] of groupBy(running, ({ container }) => container.serviceId)) {
      const spec = records.services.get(serviceId)?.spec;
      if (spec !== undefined && isJob(spec)) this.#checkRuns(spec, ofService);
    }
  }

  #checkTask({ before, after }: TaskChange): void {
    if (after === undefined || after.jobIteration === 0) return;
    const { report } = this.#context;
    const slot = `${after.serviceId}/${after.jobIteration}/${after.slot || after.nodeId}`;
    const isNew = before === undefined || before.nodeId !== after.nodeId;
    if (isNew && after.nodeId !== "" && this.#done.has(slot)) {
      const what = `${after.serviceName}.${after.slot} of run ${after.jobIteration}`;
      report("J1", `${what} has completed, but task ${after.id} repeats it`);
    }
    if (stateOf(after) === TaskState.COMPLETE) this.#done.add(slot);
  }

  #checkRuns(spec: ServiceSpec, running: readonly RunningContainer[]): void {
    const { report, records } = this.#context;
    const runs = groupBy(running, ({ container }) => String(records.runs.get(container.taskId)));
    const most = spec.mode?.$case === "replicatedJob" ? spec.mode.value.maxConcurrent : 0;
    for (const [run, tasks] of runs) {
      if (most === 0 || tasks.length <= most) continue;
      const what = `${tasks.length} tasks of run ${run} of ${spec.name} are running, at most ${most} may`;
      report("J2", `${what}: ${tasks.map(describeContainer).join(", ")}`);
    }
    if (spec.cron?.concurrency === CronSpec_Concurrency.FORBID && runs.size > 1) {
      report("J3", `runs ${[...runs.keys()].join(" and ")} of ${spec.name} overlap`);
    }
  }

  #checkSchedule(before: Service, after: Service): void {
    const { report } = this.#context;
    const { spec, cron } = after;
    if (spec?.cron === undefined || cron === undefined || before.cron === undefined) return;
    const on = cron.runs.filter(({ endedAtMs }) => endedAtMs === 0);
    if (spec.cron.concurrency !== CronSpec_Concurrency.ALLOW && on.length > 1) {
      report("J3", `${on.length} runs of ${spec.name} are active, but runs must not overlap`);
    }
    if ((after.job?.iteration ?? 0) === (before.job?.iteration ?? 0)) return;
    const dueMs = before.cron.nextRunAtMs;
    if (dueMs <= (this.#lastDueMs.get(after.id) ?? 0)) {
      report("J4", `the scheduled time ${new Date(dueMs).toISOString()} of ${spec.name} started two runs`);
    }
    this.#lastDueMs.set(after.id, dueMs);
  }
}
