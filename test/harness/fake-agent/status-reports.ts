import type { ReportedTask, SessionRequest } from "@berth/proto";
import { TaskState } from "@berth/proto";
import type { FakeContainer } from "./fake-containers.js";

/** Sends task statuses in numbered batches. Resends them in each session until the leader has acknowledged them. */
export class StatusReports {
  readonly #unacked = new Map<string, { readonly batch: number; readonly report: ReportedTask }>();
  readonly #send: (request: SessionRequest) => void;
  #batch = 0;

  constructor(send: (request: SessionRequest) => void) {
    this.#send = send;
  }

  send(report: ReportedTask): void {
    this.#sendBatch([report]);
  }

  acknowledge(upTo: number): void {
    for (const [taskId, { batch }] of this.#unacked) {
      if (batch <= upTo) this.#unacked.delete(taskId);
    }
  }

  /** Sends all unacknowledged statuses and those of all started containers, at the start of a session. */
  resend(containers: Iterable<FakeContainer>): void {
    const reports = new Map([...this.#unacked].map(([taskId, { report }]) => [taskId, report]));
    for (const { status, assigned } of containers) {
      const { id: taskId, serviceId } = assigned;
      if (reports.has(taskId) || status.state < TaskState.RUNNING) continue;
      reports.set(taskId, { taskId, serviceId, status, removed: false });
    }
    if (reports.size > 0) this.#sendBatch([...reports.values()]);
  }

  #sendBatch(tasks: readonly ReportedTask[]): void {
    this.#batch += 1;
    const batch = this.#batch;
    for (const report of tasks) this.#unacked.set(report.taskId, { batch, report });
    this.#send({ message: { $case: "statuses", value: { batch, tasks: [...tasks] } } });
  }
}
