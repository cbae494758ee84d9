import {
  type Assignments,
  DesiredState,
  isBerthError,
  NodeDescription,
  type PortSpec,
  PROTOCOL_FIELDS,
  type ReportedTask,
  type SessionRequest,
  TaskState,
  TaskStatus,
  type Welcome,
} from "@berth/proto";
import { grpcTransport, type RpcIdentity } from "@berth/proto/rpc";
import {
  firstAttempt,
  nextAttempt,
  type SessionEnd,
} from "../../../packages/agent/src/leader/next-attempt.js";
import {
  type AttemptOutcome,
  ServerConnections,
} from "../../../packages/agent/src/leader/server-connections.js";
import { Outbox } from "./outbox.js";

const CORES = 32;
const MEMORY_BYTES = 128 * 2 ** 30;
const OVERLAY_MTU = 1_450;
/** First port that Docker tries. */
const FIRST_HOST_PORT = 32_768;

export interface SimAgentOptions {
  readonly nodeId: string;
  /** Identity of the node, which must already have joined the cluster. */
  readonly identity: RpcIdentity;
  /** The address that servers probe. */
  readonly address: string;
  readonly servers: readonly string[];
  /** Time from the assignment to the report that the container is running. Stands for pull, create and start. */
  readonly startMs: number;
  readonly observer: SimAgentObserver;
}

/** Receives the events that measurements wait for. */
export interface SimAgentObserver {
  onWelcome(epoch: number): void;
  onCompleteSet(tasks: number): void;
  /** Called with the number of new tasks to run. */
  onAssigned(tasks: number): void;
  /** Called with the number of running tasks to stop. */
  onStopped(tasks: number): void;
  /** Called with the number of task reports that the leader has stored. */
  onStored(tasks: number): void;
}

/** The end of one attempt to open a session. */
interface SimSessionEnd {
  readonly end: SessionEnd;
  readonly outcome: AttemptOutcome;
}

/**
 * Simulates the agent of a host without Docker, with a real session over a real connection. Receives assignments,
 * reports each task as running after `startMs`, and finds the next leader like a real agent.
 */
export class SimAgent {
  readonly #options: SimAgentOptions;
  readonly #connections: ServerConnections;
  readonly #taskIds = new Set<string>();
  readonly #running = new Map<string, ReportedTask>();
  /** Published ports of services, by service and version. */
  readonly #ports = new Map<string, readonly PortSpec[]>();
  readonly #unacked = new Map<number, number>();
  #outbox = new Outbox<SessionRequest>();
  #batch = 0;
  #sequence = 0;
  #changes = 0;

  constructor(options: SimAgentOptions) {
    this.#options = options;
    this.#connections = new ServerConnections(grpcTransport(options.identity));
  }

  /** Runs until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    let attempt = firstAttempt(this.#options.servers);
    while (!signal.aborted) {
      const { end, outcome } = await this.#runSession(attempt.address, signal);
      this.#connections.recordOutcome(attempt.address, outcome);
      attempt = nextAttempt(attempt, end, { reported: [], rng: Math.random });
      await pause(attempt.delayMs, signal);
    }
    this.#connections.closeAll();
  }

  /**
   * Reports another message for up to `count` running tasks: their records change, and none of them is replaced. Returns
   * the number of reported tasks.
   */
  reportChanges(count: number): number {
    this.#changes += 1;
    const tasks = [...this.#running.values()].slice(0, count).map(({ taskId, serviceId }) => {
      const report = buildReport(taskId, serviceId, TaskState.RUNNING);
      const status = TaskStatus.fromPartial({ ...report.status, message: `change ${this.#changes}` });
      return { ...report, status };
    });
    this.#report(tasks);
    return tasks.length;
  }

  /** Runs a session until it ends. Never rejects. */
  async #runSession(address: string, signal: AbortSignal): Promise<SimSessionEnd> {
    const startedMs = performance.now();
    const session = new AbortController();
    const end = (): void => session.abort();
    signal.addEventListener("abort", end, { once: true });
    let welcome: Welcome | undefined;
    const onWelcome = (message: Welcome): void => {
      welcome = message;
      this.#connections.closeOthers(address);
    };
    let error: unknown;
    try {
      await this.#serve(address, onWelcome, session.signal);
    } catch (cause) {
      error = cause;
    } finally {
      signal.removeEventListener("abort", end);
      session.abort();
    }
    return sessionEnd(error, { welcome, afterMs: performance.now() - startedMs });
  }

  async #serve(address: string, onWelcome: (message: Welcome) => void, signal: AbortSignal): Promise<void> {
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
    const hello = {
      nodeId,
      description,
      bootId: nodeId,
      ...PROTOCOL_FIELDS,
      resolvesImages: true,
      timingScale: 1,
      transfersImages: false,
      generation: 0,
    };
    this.#outbox.push({ message: { $case: "hello", value: hello } });
    let heartbeatTimer: NodeJS.Timeout | undefined;
    try {
      const calls = this.#connections.callsTo(address);
      for await (const { message } of calls.session(this.#outbox, { signal })) {
        if (message?.$case === "welcome") {
          onWelcome(message.value);
          this.#options.observer.onWelcome(message.value.epoch);
          heartbeatTimer = setInterval(() => this.#sendHeartbeat(), message.value.heartbeatMs);
          this.#report([...this.#running.values()]);
        } else if (message?.$case === "heartbeatInterval") {
          clearInterval(heartbeatTimer);
          heartbeatTimer = setInterval(() => this.#sendHeartbeat(), message.value.heartbeatMs);
        } else if (message?.$case === "imageDigestRequest") {
          const value = { requestId: message.value.requestId, digest: "", isLocal: true, error: "" };
          this.#outbox.push({ message: { $case: "imageDigest", value } });
        } else if (message?.$case === "assignments") this.#applyAssignments(message.value);
        else if (message?.$case === "statusesAck") this.#onStored(message.value.batch);
      }
    } finally {
      clearInterval(heartbeatTimer);
      this.#outbox.close();
    }
  }

  #sendHeartbeat(): void {
    const value = { appliedSequence: this.#sequence, lagMs: 0, number: 0 };
    this.#outbox.push({ message: { $case: "heartbeat", value } });
  }

  /** Applies assignments. Acknowledges tables at once, because there is no ingress process to apply them. */
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

/** Classifies the end of a session, like a real agent. */
function sessionEnd(
  error: unknown,
  { welcome, afterMs }: { readonly welcome: Welcome | undefined; readonly afterMs: number },
): SimSessionEnd {
  const isWelcomed = welcome !== undefined;
  if (isBerthError(error, "BERTH_NOT_LEADER")) {
    const end = { kind: "not-leader", leader: error.details.leader ?? "", afterMs } as const;
    return { end, outcome: isWelcomed ? "ended" : "answered" };
  }
  const end = {
    kind: "lost",
    joinedHeartbeatMs: welcome?.heartbeatMs,
    reason: String(error),
  } as const;
  return { end, outcome: "ended" };
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
