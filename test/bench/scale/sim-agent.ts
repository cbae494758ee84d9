import {
  type Assignments,
  DesiredState,
  DispatcherServiceService,
  isBerthError,
  NodeDescription,
  type PortSpec,
  PROTOCOL_FIELDS,
  type ReportedTask,
  type SessionRequest,
  TaskState,
  TaskStatus,
} from "@berth/proto";
import { createRpcClient, type RpcIdentity } from "@berth/proto/rpc";
import { Outbox } from "./outbox.js";

/** Mean delay before a reconnect. Like a real agent, it varies by half, so that a thousand agents do not reconnect at once. */
const RECONNECT_MS = 250;
/** A server that names itself as leader has just lost its term and may lead again at once. */
const REDIRECT_MS = 50;
const CORES = 32;
const MEMORY_BYTES = 128 * 2 ** 30;
const OVERLAY_MTU = 1_450;
/** The first port that Docker tries. */
const FIRST_HOST_PORT = 32_768;

export interface SimAgentOptions {
  readonly nodeId: string;
  /** The identity of the node, which has been admitted. */
  readonly identity: RpcIdentity;
  /** The address that servers probe. */
  readonly address: string;
  readonly servers: readonly string[];
  /** From the assignment to the report that the container runs: pull, create, start. */
  readonly startMs: number;
  readonly observer: SimAgentObserver;
}

/** Receives the events that measurements wait for. */
export interface SimAgentObserver {
  onWelcome(epoch: number): void;
  onCompleteSet(tasks: number): void;
  /** Tasks to run that are new to this agent. */
  onAssigned(tasks: number): void;
  /** Running tasks that the agent has to stop. */
  onStopped(tasks: number): void;
  /** Reports that the leader has stored. */
  onStored(tasks: number): void;
}

/**
 * One host without Docker, with a real session over a real connection. It receives assignments, reports each task as
 * running after `startMs`, and reconnects when the leader changes.
 */
export class SimAgent {
  readonly #options: SimAgentOptions;
  readonly #taskIds = new Set<string>();
  readonly #running = new Map<string, ReportedTask>();
  /** Published ports of services, by service and version. */
  readonly #ports = new Map<string, readonly PortSpec[]>();
  readonly #unacked = new Map<number, number>();
  #outbox = new Outbox<SessionRequest>();
  #leader: string | undefined;
  #attempt = 0;
  #batch = 0;
  #sequence = 0;

  constructor(options: SimAgentOptions) {
    this.#options = options;
  }

  /** Runs until the signal fires. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { servers } = this.#options;
      const address = this.#leader ?? servers[this.#attempt++ % servers.length] ?? "";
      this.#leader = undefined;
      const session = new AbortController();
      const end = (): void => session.abort();
      signal.addEventListener("abort", end, { once: true });
      try {
        await this.#serve(address, session.signal);
      } catch (error) {
        if (isBerthError(error, "BERTH_NOT_LEADER")) this.#leader = error.details.leader;
      } finally {
        signal.removeEventListener("abort", end);
        session.abort();
      }
      const delayMs = this.#leader === undefined ? RECONNECT_MS : REDIRECT_MS;
      await pause(delayMs * (0.5 + Math.random()), signal);
    }
  }

  async #serve(address: string, signal: AbortSignal): Promise<void> {
    const client = createRpcClient(DispatcherServiceService, { address, identity: this.#options.identity });
    this.#outbox = new Outbox<SessionRequest>();
    const { nodeId } = this.#options;
    const description = NodeDescription.fromPartial({
      hostname: nodeId,
      address: this.#options.address,
      nanoCpus: CORES * 1e9,
      memoryBytes: MEMORY_BYTES,
      os: "linux",
      architecture: "x86_64",
      engineReady: true,
      dataPlane: { kernel: true, overlay: true, overlayMtu: OVERLAY_MTU, wireguardReason: "not simulated" },
    });
    const hello = { nodeId, description, bootId: nodeId, ...PROTOCOL_FIELDS };
    this.#outbox.push({ message: { $case: "hello", value: hello } });
    let heartbeatTimer: NodeJS.Timeout | undefined;
    try {
      for await (const { message } of client.calls.session(this.#outbox, { signal })) {
        if (message?.$case === "welcome") {
          this.#options.observer.onWelcome(message.value.epoch);
          heartbeatTimer = setInterval(() => this.#sendHeartbeat(), message.value.heartbeatMs);
          this.#report([...this.#running.values()]);
        } else if (message?.$case === "heartbeatInterval") {
          clearInterval(heartbeatTimer);
          heartbeatTimer = setInterval(() => this.#sendHeartbeat(), message.value.heartbeatMs);
        } else if (message?.$case === "assignments") this.#applyAssignments(message.value);
        else if (message?.$case === "statusesAck") this.#onStored(message.value.batch);
      }
    } finally {
      clearInterval(heartbeatTimer);
      this.#outbox.close();
      client.close();
    }
  }

  #sendHeartbeat(): void {
    const value = { appliedSequence: this.#sequence, lagMs: 0, number: 0 };
    this.#outbox.push({ message: { $case: "heartbeat", value } });
  }

  /** Applies assignments. Acknowledges tables at once, since there is no ingress process to apply them. */
  #applyAssignments({ specs, tasks, removedTaskIds, resultsIn, appliesTo, ackRequested }: Assignments): void {
    const { observer, startMs } = this.#options;
    this.#sequence = resultsIn;
    for (const { serviceId, version, ports } of specs) {
      if (ports.length > 0) this.#ports.set(`${serviceId}/${version}`, ports);
    }
    if (ackRequested)
      this.#outbox.push({ message: { $case: "tablesApplied", value: { sequence: resultsIn } } });
    const newTasks: ReportedTask[] = [];
    const ended: ReportedTask[] = [];
    let stopped = 0;
    for (const { id, serviceId, specVersion, desiredState } of tasks) {
      if (desiredState !== DesiredState.RUNNING) {
        ended.push(buildReport(id, serviceId, TaskState.SHUTDOWN));
        if (this.#running.delete(id)) stopped += 1;
      } else if (!this.#taskIds.has(id)) {
        this.#taskIds.add(id);
        newTasks.push(
          buildReport(id, serviceId, TaskState.RUNNING, this.#ports.get(`${serviceId}/${specVersion}`)),
        );
      }
    }
    for (const id of removedTaskIds) {
      this.#taskIds.delete(id);
      this.#running.delete(id);
    }
    if (appliesTo === 0) observer.onCompleteSet(tasks.length);
    if (newTasks.length > 0) observer.onAssigned(newTasks.length);
    if (stopped > 0) observer.onStopped(stopped);
    this.#report(ended);
    if (newTasks.length === 0) return;
    setTimeout(() => {
      for (const task of newTasks) this.#running.set(task.taskId, task);
      this.#report(newTasks);
    }, startMs).unref();
  }

  #report(tasks: readonly ReportedTask[]): void {
    if (tasks.length === 0) return;
    const batch = ++this.#batch;
    this.#unacked.set(batch, tasks.length);
    this.#outbox.push({ message: { $case: "statuses", value: { batch, tasks: [...tasks] } } });
  }

  #onStored(acked: number): void {
    for (const [batch, tasks] of this.#unacked) {
      if (batch > acked) return;
      this.#unacked.delete(batch);
      this.#options.observer.onStored(tasks);
    }
  }
}

function buildReport(
  taskId: string,
  serviceId: string,
  state: TaskState,
  published: readonly PortSpec[] = [],
): ReportedTask {
  const ports = published.map(({ protocol, target }, index) => {
    return { protocol, target, hostPort: FIRST_HOST_PORT + index };
  });
  return { taskId, serviceId, status: TaskStatus.fromPartial({ state, ports }), removed: false };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
