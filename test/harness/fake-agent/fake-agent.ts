import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import {
  type Assignments,
  type Authorities,
  DispatcherServiceService,
  isBerthError,
  LogEntry_Stream,
  type NodeDescription,
  PROTOCOL_FIELDS,
  type ProbeRequest,
  type ReportedTask,
  type SessionRequest,
  type SessionResponse,
  type StartLogs,
  TaskState,
  type UsageReport,
  type WaitingClients,
  type Welcome,
} from "@berth/proto";
import { type Probe, probeHost } from "@berth/proto/probe";
import { createRpcClient, type RpcClient, type RpcIdentity } from "@berth/proto/rpc";
import { asyncQueue } from "./async-queue.js";
import { type ContainerBehavior, FakeContainers } from "./fake-containers.js";
import { describeHost, type HostOptions } from "./host-description.js";
import { ReceivedAssignments } from "./received-assignments.js";
import { type ReplyOptions, replyTo } from "./replies.js";
import { StatusReports } from "./status-reports.js";

const RECONNECT_MS = 50;
/** The agent's values. */
const PROBE = { tries: 20, tryMs: 15 };
let hosts = 0;

/** Returns a loopback address that no other fake host in this process has. */
function nextAddress(): string {
  hosts += 1;
  return `127.77.${hosts >> 8}.${hosts & 255}`;
}

export interface FakeAgentOptions extends HostOptions, ContainerBehavior, ReplyOptions {
  /** Adds the node to the cluster and returns its identity. Called when the agent starts. */
  readonly identity: () => Promise<RpcIdentity>;
  /** Addresses of servers, tried in turn. */
  readonly servers: readonly string[];
  /** Probes other hosts for the leader. */
  readonly probe?: Probe;
  /** Called when the leader announces the cluster's authorities. */
  readonly onAuthorities?: (message: Authorities) => void;
  /** Returns the log of a task. */
  readonly log?: (taskId: string) => readonly { readonly timeNs: string; readonly text: string }[];
}

/**
 * An agent without Docker that speaks the real protocol: it connects, applies assignments and reports its tasks as
 * running, except for images named `crashing…`, `never-healthy…` and `unpullable…`. It checks that the leader sends
 * increments in sequence. Containers survive reconnects, as real ones do.
 */
export class FakeAgent {
  readonly options: FakeAgentOptions;
  readonly address = nextAddress();
  /** Whether the host answers probes. The agent may be dead even if it does. */
  isHostUp = true;
  /** Whether the agent acknowledges applied tables. */
  acknowledgesTables = true;
  /** Violations of the protocol by the leader. Tests expect none. */
  readonly violations: string[] = [];
  /** Error codes with which sessions ended, or "ended". */
  readonly sessionErrors: string[] = [];
  /** Full names of the services whose resource usage the leader requested. */
  usageServices: readonly string[] = [];
  servers: readonly string[] = [];
  epoch = 0;
  #bootId: string = randomUUID();
  #stopping = new AbortController();
  #session = new AbortController();
  #send: (request: SessionRequest) => void = () => {};
  #sendsHeartbeats = true;
  #heartbeatTimer: NodeJS.Timeout | undefined;
  #nextServer = 0;
  #leader: string | undefined;
  readonly #assignments = new ReceivedAssignments(this.violations);
  readonly #reports = new StatusReports((request) => this.#send(request));
  readonly #containers: FakeContainers;
  #running: Promise<void> = Promise.resolve();

  constructor(options: FakeAgentOptions) {
    this.options = options;
    this.#containers = new FakeContainers(options, this.#assignments, (report) => this.#reports.send(report));
  }

  get containers(): FakeContainers["all"] {
    return this.#containers.all;
  }

  get ingress(): ReceivedAssignments["ingress"] {
    return this.#assignments.ingress;
  }

  get networks(): ReceivedAssignments["networks"] {
    return this.#assignments.networks;
  }

  get names(): ReceivedAssignments["names"] {
    return this.#assignments.names;
  }

  get logins(): ReceivedAssignments["logins"] {
    return this.#assignments.logins;
  }

  /** The secrets and configs assigned to the node. */
  get files(): ReceivedAssignments["files"] {
    return this.#assignments.files;
  }

  get specs(): ReceivedAssignments["specs"] {
    return this.#assignments.specs;
  }

  get received(): readonly Assignments[] {
    return this.#assignments.received;
  }

  get completeSets(): number {
    return this.#assignments.completeSets;
  }

  get sequence(): number {
    return this.#assignments.sequence;
  }

  start(): this {
    this.isHostUp = true;
    this.#stopping = new AbortController();
    this.#running = this.#run(this.#stopping.signal);
    return this;
  }

  /** Simulates a host that loses its network or power: the agent stops, and probes get no reply. */
  async loseHost(): Promise<void> {
    this.isHostUp = false;
    await this.kill();
  }

  /** Simulates the death of the agent process. The host and its containers keep running. */
  async kill(): Promise<void> {
    this.#stopping.abort();
    this.#session.abort();
    await this.#running;
  }

  /** Restarts the agent process with a new boot ID and the same containers. */
  async restart(): Promise<void> {
    await this.kill();
    this.#bootId = randomUUID();
    this.start();
  }

  /** Breaks the current connection. The agent reconnects. */
  reconnect(): void {
    this.#session.abort();
  }

  /** Connects to this server after the current session has ended. */
  setLeader(address: string): void {
    this.#leader = address;
  }

  /** Simulates a lost increment: the next one does not apply to the agent's state. */
  skipIncrement(): void {
    this.#assignments.skipIncrement();
  }

  /** Simulates a hanging process with an open connection. */
  stopHeartbeats(): void {
    this.#sendsHeartbeats = false;
  }

  resumeHeartbeats(): void {
    this.#sendsHeartbeats = true;
  }

  /** Ends the container of a task. */
  failTask(taskId: string, exitCode = 1): void {
    this.#containers.end(taskId, exitCode);
  }

  /** Returns whether a task's container exists and has not ended. */
  isUp(taskId: string): boolean {
    return this.#containers.isUp(taskId);
  }

  get runningTaskIds(): readonly string[] {
    return [...this.containers.values()]
      .filter(({ status }) => status.state === TaskState.RUNNING)
      .map(({ assigned }) => assigned.id)
      .sort();
  }

  describe(description: Partial<NodeDescription>): void {
    this.#send({
      message: {
        $case: "description",
        value: { ...describeHost(this.options, this.address), ...description },
      },
    });
  }

  reportUsage(report: UsageReport): void {
    this.#send({ message: { $case: "usage", value: report } });
  }

  reportWaitingClients(report: WaitingClients): void {
    this.#send({ message: { $case: "waitingClients", value: report } });
  }

  /** Sends an arbitrary report, as a faulty or delayed agent might. */
  reportRaw(report: ReportedTask): void {
    this.#reports.send(report);
  }

  async #run(stopping: AbortSignal): Promise<void> {
    const identity = await this.options.identity();
    while (!stopping.aborted) {
      const { servers } = this.options;
      const address = this.#leader ?? servers[this.#nextServer++ % servers.length] ?? "";
      this.#leader = undefined;
      try {
        await this.#serve(address, identity);
        this.sessionErrors.push("ended");
      } catch (error) {
        this.sessionErrors.push(isBerthError(error) ? error.code : String(error));
        if (isBerthError(error, "BERTH_NOT_LEADER")) this.#leader = error.details.leader;
      }
      this.#send = () => {};
      await delay(RECONNECT_MS, undefined, { signal: stopping }).catch(() => {});
    }
  }

  async #serve(address: string, identity: RpcIdentity): Promise<void> {
    const session = new AbortController();
    this.#session = session;
    const client = createRpcClient(DispatcherServiceService, { address, identity });
    const outgoing = asyncQueue<SessionRequest>();
    this.#send = (request) => outgoing.push(request);
    const hello = {
      nodeId: this.options.nodeId,
      ...PROTOCOL_FIELDS,
      description: describeHost(this.options, this.address),
      bootId: this.#bootId,
      resolvesImages: true,
      timingScale: 1,
      transfersImages: false,
      generation: 0,
    };
    this.#send({ message: { $case: "hello", value: hello } });
    try {
      for await (const { message } of client.calls.session(outgoing.items, { signal: session.signal })) {
        if (message !== undefined) this.#receive(message, client.calls, session.signal);
      }
    } finally {
      clearInterval(this.#heartbeatTimer);
      outgoing.end();
      session.abort();
      client.close();
    }
  }

  #receive(
    message: NonNullable<SessionResponse["message"]>,
    calls: RpcClient<typeof DispatcherServiceService>,
    signal: AbortSignal,
  ): void {
    switch (message.$case) {
      case "welcome":
        this.#startSession(message.value);
        break;
      case "assignments":
        this.#apply(message.value);
        break;
      case "statusesAck":
        this.#reports.acknowledge(message.value.batch);
        break;
      case "measureUsage":
        this.usageServices = message.value.services.map(({ serviceName }) => serviceName);
        break;
      case "heartbeatInterval":
        this.#startHeartbeats(message.value.heartbeatMs);
        break;
      case "authorities":
        this.options.onAuthorities?.(message.value);
        break;
      case "probe":
        void this.#probe(message.value, signal);
        break;
      case "startLogs":
        void this.#pushLogs(calls, message.value);
        break;
      default: {
        const reply = replyTo(message, this.options, this.sequence);
        if (reply !== undefined) this.#send({ message: reply });
      }
    }
  }

  #startSession({ epoch, servers, heartbeatMs }: Welcome): void {
    if (epoch < this.epoch) this.violations.push("received assignments from an older leader");
    this.epoch = epoch;
    this.servers = servers;
    this.#assignments.sequence = 0;
    this.#startHeartbeats(heartbeatMs);
    this.#reports.resend(this.containers.values());
  }

  #startHeartbeats(intervalMs: number): void {
    clearInterval(this.#heartbeatTimer);
    this.#heartbeatTimer = setInterval(() => this.#heartbeat(), intervalMs);
  }

  #heartbeat(): void {
    if (!this.#sendsHeartbeats) return;
    this.#send({
      message: { $case: "heartbeat", value: { appliedSequence: this.sequence, lagMs: 0, number: 0 } },
    });
  }

  async #probe({ requestId, address, port }: ProbeRequest, signal: AbortSignal): Promise<void> {
    const answered = await (this.options.probe ?? probeHost)({ address, port, ...PROBE }, signal);
    this.#send({ message: { $case: "probeResult", value: { requestId, answered } } });
  }

  #apply(assignments: Assignments): void {
    const before = this.completeSets;
    if (!this.#assignments.apply(assignments)) {
      this.reconnect();
      return;
    }
    if (this.completeSets > before) {
      const assigned = new Set(assignments.tasks.map(({ id }) => id));
      for (const taskId of this.containers.keys()) {
        if (!assigned.has(taskId)) this.containers.delete(taskId);
      }
    }
    if (assignments.ackRequested && this.acknowledgesTables) {
      const value = { sequence: assignments.resultsIn };
      this.#send({ message: { $case: "tablesApplied", value } });
    }
    for (const task of assignments.tasks) this.#containers.apply(task, assignments);
    for (const taskId of assignments.removedTaskIds) this.#containers.forget(taskId);
  }

  async #pushLogs(calls: RpcClient<typeof DispatcherServiceService>, start: StartLogs): Promise<void> {
    const lines = this.options.log?.(start.taskId) ?? [];
    async function* entries() {
      for (const { timeNs, text } of lines) {
        const entry = { stream: LogEntry_Stream.STDOUT, timeNs, line: Buffer.from(text) };
        yield { requestId: start.requestId, entries: [entry], error: "" };
      }
      if (lines.length === 0) yield { requestId: start.requestId, entries: [], error: "" };
    }
    await calls.pushLogs(entries()).catch(() => {});
  }
}
