import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import {
  type AssignedNetwork,
  type AssignedTask,
  type Assignments,
  Assignments_Kind,
  createRpcClient,
  type DataPlane,
  DesiredState,
  DispatcherServiceService,
  type DoorTraffic,
  Health,
  type HostPort,
  type IngressEntry,
  ipv4Text,
  isBerthError,
  LogChunk_Stream,
  type NameEntry,
  type NetworkAttachment,
  NodeDescription,
  PortSpec_Mode,
  PortSpec_Protocol,
  PROTOCOL_VERSION,
  type Probe,
  type ProbeRequest,
  parseSubnet,
  probeHost,
  type ReportedTask,
  type RpcClient,
  type SessionRequest,
  type StartLogs,
  type TaskAddress,
  TaskState,
  TaskStatus,
  type UsageReport,
} from "@berth/proto";

const RECONNECT_MS = 50;
/** As the agent's own. */
const PROBE = { tries: 20, tryMs: 15 };
let hosts = 0;

/** An address of this machine that no other fake host has. */
function nextAddress(): string {
  hosts += 1;
  return `127.77.${hosts >> 8}.${hosts & 255}`;
}

const FIRST_HOST_PORT = 40_000;
const CRASH_AFTER_MS = 20;

export interface FakeAgentOptions {
  readonly nodeId: string;
  /** Addresses of servers, tried in turn. */
  readonly servers: readonly string[];
  readonly hostname?: string;
  readonly memoryBytes?: number;
  /** What this host finds when it probes another one. */
  readonly probe?: Probe;
  /** What its data plane can do beside networks over hosts, or instead. undefined: an agent of before there were any. */
  readonly dataPlane?: Partial<DataPlane> | undefined;
  /** How long a container takes to start. */
  readonly startMs?: number;
  /** How long a container takes to stop. */
  readonly stopMs?: number;
  /** A container has been started. */
  readonly onStart?: (task: AssignedTask) => void;
  /** A container is told to stop. */
  readonly onStop?: (task: AssignedTask) => void;
  /** What it tells whoever asks for all services' counters. */
  readonly doors?: readonly DoorTraffic[];
  /** What the log of each task says. */
  readonly log?: (taskId: string) => readonly { readonly timeNs: string; readonly text: string }[];
}

/** A container that exists only in this test: it runs until it is told to end. */
interface FakeContainer {
  readonly assigned: AssignedTask;
  status: TaskStatus;
}

/**
 * An agent without Docker, written against the wire contract: it connects, takes assignments, reports its tasks as
 * running (but see to it that images called `crashing…`, `never-healthy…` and `unpullable…` do so), and checks that the leader keeps to the chain. Containers survive reconnects, as real ones do.
 */
export class FakeAgent {
  readonly options: FakeAgentOptions;
  readonly address = nextAddress();
  /** Whether its kernel would answer. The agent may be dead all the same. */
  hostLives = true;
  readonly containers = new Map<string, FakeContainer>();
  readonly ingress = new Map<string, IngressEntry>();
  readonly networks = new Map<string, AssignedNetwork>();
  readonly names = new Map<string, NameEntry>();
  readonly #attachments = new Map<string, readonly NetworkAttachment[]>();
  /** Images of the specs that were sent, by service and version. */
  readonly specs = new Map<string, string>();
  /** Whether it says when tables are in force. */
  answersForTables = true;
  /** Violations of the contract by the leader. A test ends with none. */
  readonly complaints: string[] = [];
  /** Why sessions ended, as error codes. */
  readonly endings: string[] = [];
  readonly received: Assignments[] = [];
  /** Full names of the services whose use of resources the leader asked for. */
  measured: readonly string[] = [];
  completeSets = 0;
  servers: readonly string[] = [];
  epoch = 0;
  sequence = 0;
  #bootId: string = randomUUID();
  #stopping = new AbortController();
  #session = new AbortController();
  #send: (request: SessionRequest) => void = () => {};
  #sendsHeartbeats = true;
  #mayMissOne = false;
  #heartbeatMs = 500;
  #batch = 0;
  #nextServer = 0;
  #nextPort = FIRST_HOST_PORT;
  #leader: string | undefined;
  readonly #unacked = new Map<string, { readonly batch: number; readonly report: ReportedTask }>();
  #running: Promise<void> = Promise.resolve();

  constructor(options: FakeAgentOptions) {
    this.options = options;
  }

  start(): this {
    this.hostLives = true;
    this.#stopping = new AbortController();
    this.#running = this.#run(this.#stopping.signal);
    return this;
  }

  /** Its cable is cut, or its power: nothing there answers any more. What containers do is not known. */
  async vanish(): Promise<void> {
    this.hostLives = false;
    await this.kill();
  }

  /** The process is gone; its host lives, and containers go on. */
  async kill(): Promise<void> {
    this.#stopping.abort();
    this.#session.abort();
    await this.#running;
  }

  /** The process is started again: another boot, the same containers. */
  async restart(): Promise<void> {
    await this.kill();
    this.#bootId = randomUUID();
    this.start();
  }

  /** Breaks the connection once; the agent comes back by itself. */
  reconnect(): void {
    this.#session.abort();
  }

  /** It learns of another server, and finds it when the session that it has ends. */
  follow(address: string): void {
    this.#leader = address;
  }

  /** An increment gets lost on its way: the next one does not fit. */
  loseIncrement(): void {
    this.sequence -= 1;
    this.#mayMissOne = true;
  }

  /** The process hangs, its connection stays. */
  stopHeartbeats(): void {
    this.#sendsHeartbeats = false;
  }

  resumeHeartbeats(): void {
    this.#sendsHeartbeats = true;
  }

  /** The container of a task ends by itself. */
  failTask(taskId: string, exitCode = 1): void {
    const container = this.containers.get(taskId);
    if (container === undefined) throw new Error(`no container of task ${taskId}`);
    const state = exitCode === 0 ? TaskState.COMPLETE : TaskState.FAILED;
    this.#report(container, { state, exitCode, message: `exit code ${exitCode}`, ports: [] });
  }

  get runningTaskIds(): readonly string[] {
    return [...this.containers.values()]
      .filter(({ status }) => status.state === TaskState.RUNNING)
      .map(({ assigned }) => assigned.id)
      .sort();
  }

  describe(description: Partial<NodeDescription>): void {
    this.#send({ message: { $case: "description", value: { ...this.#description(), ...description } } });
  }

  reportUsage(report: UsageReport): void {
    this.#send({ message: { $case: "usage", value: report } });
  }

  /** Sends a report as a faulty or late agent might. */
  reportRaw(report: ReportedTask): void {
    this.#queueReport(report);
  }

  async #run(stopping: AbortSignal): Promise<void> {
    while (!stopping.aborted) {
      const { servers } = this.options;
      const address = this.#leader ?? servers[this.#nextServer++ % servers.length] ?? "";
      this.#leader = undefined;
      try {
        await this.#serve(address);
        this.endings.push("ended");
      } catch (error) {
        this.endings.push(isBerthError(error) ? error.code : String(error));
        if (isBerthError(error, "BERTH_NOT_LEADER")) this.#leader = error.details.leader;
      }
      this.#send = () => {};
      await delay(RECONNECT_MS, undefined, { signal: stopping }).catch(() => {});
    }
  }

  async #serve(address: string): Promise<void> {
    const session = new AbortController();
    this.#session = session;
    const client = createRpcClient(DispatcherServiceService, { address });
    const outgoing = queue<SessionRequest>();
    this.#send = (request) => outgoing.push(request);
    const hello = {
      nodeId: this.options.nodeId,
      protocolVersion: PROTOCOL_VERSION,
      description: this.#description(),
      bootId: this.#bootId,
    };
    this.#send({ message: { $case: "hello", value: hello } });
    let timer: NodeJS.Timeout | undefined;
    try {
      for await (const { message } of client.calls.session(outgoing.items, { signal: session.signal })) {
        switch (message?.$case) {
          case "welcome":
            if (message.value.epoch < this.epoch) this.complaints.push("an older leader gave orders");
            this.epoch = message.value.epoch;
            this.servers = message.value.servers;
            this.#heartbeatMs = message.value.heartbeatMs;
            this.sequence = 0;
            timer = setInterval(() => this.#heartbeat(), this.#heartbeatMs);
            this.#reportAgain();
            break;
          case "assignments":
            this.#take(message.value);
            break;
          case "statusesAck":
            for (const [taskId, { batch }] of this.#unacked) {
              if (batch <= message.value.batch) this.#unacked.delete(taskId);
            }
            break;
          case "watchUsage":
            this.measured = message.value.services.map(({ serviceName }) => serviceName);
            break;
          case "heartbeatRate":
            this.#heartbeatMs = message.value.heartbeatMs;
            clearInterval(timer);
            timer = setInterval(() => this.#heartbeat(), this.#heartbeatMs);
            break;
          case "probe":
            void this.#probe(message.value, session.signal);
            break;
          case "askTraffic": {
            const { requestId } = message.value;
            const doors = [...(this.options.doors ?? [])];
            const value = { requestId, traffic: undefined, doors, tableVersion: this.sequence };
            this.#send({ message: { $case: "traffic", value } });
            break;
          }
          case "startLogs":
            void this.#pushLogs(client.calls, message.value);
            break;
          default:
            break;
        }
      }
    } finally {
      clearInterval(timer);
      outgoing.end();
      session.abort();
      client.close();
    }
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

  #take(assignments: Assignments): void {
    this.received.push(assignments);
    const isComplete = assignments.kind === Assignments_Kind.COMPLETE;
    if (!isComplete && assignments.appliesTo !== this.sequence) {
      if (!this.#mayMissOne)
        this.complaints.push(`increment to ${assignments.appliesTo}, but ${this.sequence} is known`);
      this.reconnect();
      return;
    }
    this.sequence = assignments.resultsIn;
    this.#mayMissOne = false;
    if (isComplete) {
      this.completeSets += 1;
      this.specs.clear();
      this.ingress.clear();
      this.networks.clear();
      this.names.clear();
      const named = new Set(assignments.tasks.map(({ id }) => id));
      for (const taskId of this.containers.keys()) if (!named.has(taskId)) this.containers.delete(taskId);
    }
    for (const { serviceId, version, task } of assignments.specs) {
      this.#takeSpec(`${serviceId}/${version}`, task?.container?.image ?? "");
      this.#attachments.set(`${serviceId}/${version}`, task?.networks ?? []);
    }
    this.#takeNetworks(assignments);
    for (const entry of assignments.ingress) this.ingress.set(entry.key, entry);
    for (const key of assignments.removedIngressKeys) this.ingress.delete(key);
    if (assignments.ackWanted && this.answersForTables) {
      const value = { sequence: assignments.resultsIn };
      this.#send({ message: { $case: "tablesApplied", value } });
    }
    for (const task of assignments.tasks) this.#obey(task, assignments);
    for (const taskId of assignments.removedTaskIds) this.#forget(taskId);
  }

  /** Names are only of networks that it is in, and only what it has can be taken away. */
  #takeNetworks({ networks, removedNetworkIds, names, removedNameKeys }: Assignments): void {
    for (const network of networks) this.networks.set(network.id, network);
    for (const id of removedNetworkIds) {
      if (!this.networks.delete(id)) this.complaints.push(`network ${id} was never here`);
    }
    for (const name of names) {
      this.names.set(name.key, name);
      if (!this.networks.has(name.networkId)) this.complaints.push(`${name.key} is of a foreign network`);
    }
    for (const key of removedNameKeys) {
      if (!this.names.delete(key)) this.complaints.push(`name ${key} was never here`);
    }
  }

  /** As Docker gives them out: the first free ones of the host's range. */
  #addressesFor(task: AssignedTask): TaskAddress[] {
    const attachments = this.#attachments.get(`${task.serviceId}/${task.specVersion}`) ?? [];
    return attachments.flatMap(({ network: name, ipv4Address, optional }) => {
      const network = [...this.networks.values()].find(({ spec }) => spec?.name === name);
      if (network === undefined) {
        if (!optional) this.complaints.push(`task ${task.id} is here without its network ${name}`);
        return [];
      }
      const address = ipv4Address || this.#freeAddress(network);
      return [{ networkId: network.id, address, macAddress: "" }];
    });
  }

  #freeAddress({ id, range, gateway }: AssignedNetwork): string {
    const taken = new Set([gateway]);
    for (const { status } of this.containers.values()) {
      if (status.state >= TaskState.COMPLETE) continue;
      for (const { networkId, address } of status.addresses) if (networkId === id) taken.add(address);
    }
    const base = parseSubnet(range)?.base ?? 0;
    for (let next = base + 2; ; next += 1) if (!taken.has(ipv4Text(next))) return ipv4Text(next);
  }

  #takeSpec(key: string, image: string): void {
    if (this.specs.has(key)) this.complaints.push(`spec ${key} was sent twice`);
    this.specs.set(key, image);
  }

  #forget(taskId: string): void {
    const removed = this.containers.get(taskId)?.assigned;
    this.containers.delete(taskId);
    if (removed === undefined) return;
    const key = `${removed.serviceId}/${removed.specVersion}`;
    const isUsed = [...this.containers.values()].some(
      ({ assigned }) => `${assigned.serviceId}/${assigned.specVersion}` === key,
    );
    if (!isUsed) this.specs.delete(key);
  }

  #obey(task: AssignedTask, { specs }: Assignments): void {
    const container = this.containers.get(task.id);
    switch (task.desiredState) {
      case DesiredState.RUNNING: {
        if (container !== undefined) return;
        if (!this.specs.has(`${task.serviceId}/${task.specVersion}`)) {
          this.complaints.push(`no spec for task ${task.id}`);
        }
        const ports = specs.find(({ serviceId }) => serviceId === task.serviceId)?.ports ?? [];
        const published = ports
          .filter(({ mode }) => mode !== PortSpec_Mode.HOST)
          .map(
            ({ target, protocol }): HostPort => ({
              protocol: protocol || PortSpec_Protocol.TCP,
              target,
              hostPort: this.#nextPort++,
            }),
          );
        void this.#startContainer(task, published);
        return;
      }
      case DesiredState.SHUTDOWN:
        if (container === undefined) {
          // Called off before it was heard of.
          const unborn = { assigned: task, status: emptyStatus() };
          this.containers.set(task.id, unborn);
          this.#report(unborn, { state: TaskState.SHUTDOWN });
          return;
        }
        if (container.status.state >= TaskState.COMPLETE) return;
        this.options.onStop?.(task);
        void this.#stopContainer(container);
        return;
      case DesiredState.REMOVE: {
        if (container !== undefined && container.status.state < TaskState.COMPLETE)
          this.options.onStop?.(task);
        const status = { ...(container?.status ?? emptyStatus()), state: TaskState.SHUTDOWN, ports: [] };
        this.#queueReport({ taskId: task.id, serviceId: task.serviceId, status, removed: true });
        return;
      }
    }
  }

  async #startContainer(assigned: AssignedTask, ports: HostPort[]): Promise<void> {
    const container = { assigned, status: emptyStatus() };
    this.containers.set(assigned.id, container);
    const image = this.specs.get(`${assigned.serviceId}/${assigned.specVersion}`) ?? "";
    const isOver = (): boolean =>
      this.containers.get(assigned.id) !== container || container.status.state >= TaskState.COMPLETE;
    await delay(this.options.startMs ?? 2);
    if (isOver()) return;
    if (image.startsWith("unpullable")) {
      this.#report(container, { state: TaskState.REJECTED, message: `no such image: ${image}` });
      return;
    }
    this.options.onStart?.(assigned);
    const addresses = this.#addressesFor(assigned);
    if (image.startsWith("never-healthy")) {
      this.#report(container, { state: TaskState.STARTING, health: Health.STARTING, addresses });
      return;
    }
    this.#report(container, { state: TaskState.RUNNING, containerId: `c-${assigned.id}`, ports, addresses });
    if (!image.startsWith("crashing")) return;
    await delay(CRASH_AFTER_MS);
    if (!isOver()) this.failTask(assigned.id);
  }

  async #stopContainer(container: FakeContainer): Promise<void> {
    if (this.options.stopMs !== undefined) await delay(this.options.stopMs);
    if (container.status.state < TaskState.COMPLETE) {
      this.#report(container, { state: TaskState.SHUTDOWN, ports: [] });
    }
  }

  /** Whether a container exists and has not ended. */
  isUp(taskId: string): boolean {
    const state = this.containers.get(taskId)?.status.state ?? TaskState.COMPLETE;
    return state < TaskState.COMPLETE;
  }

  #report(container: FakeContainer, status: Partial<TaskStatus>): void {
    container.status = { ...container.status, ...status };
    const { id: taskId, serviceId } = container.assigned;
    this.#queueReport({ taskId, serviceId, status: container.status, removed: false });
  }

  #queueReport(report: ReportedTask): void {
    const batch = ++this.#batch;
    this.#unacked.set(report.taskId, { batch, report });
    this.#send({ message: { $case: "statuses", value: { batch, tasks: [report] } } });
  }

  /** A new session has a new reader: everything that may not have been written is said again. */
  #reportAgain(): void {
    for (const { status, assigned } of this.containers.values()) {
      if (this.#unacked.has(assigned.id) || status.state < TaskState.RUNNING) continue;
      const report = { taskId: assigned.id, serviceId: assigned.serviceId, status, removed: false };
      this.#unacked.set(assigned.id, { batch: 0, report });
    }
    const reports = [...this.#unacked.values()].map(({ report }) => report);
    if (reports.length === 0) return;
    const batch = ++this.#batch;
    for (const report of reports) this.#unacked.set(report.taskId, { batch, report });
    this.#send({ message: { $case: "statuses", value: { batch, tasks: reports } } });
  }

  async #pushLogs(calls: RpcClient<typeof DispatcherServiceService>, start: StartLogs): Promise<void> {
    const lines = this.options.log?.(start.taskId) ?? [];
    async function* chunks() {
      for (const { timeNs, text } of lines) {
        const chunk = { stream: LogChunk_Stream.STDOUT, timeNs, line: Buffer.from(text) };
        yield { requestId: start.requestId, chunks: [chunk], error: "" };
      }
      if (lines.length === 0) yield { requestId: start.requestId, chunks: [], error: "" };
    }
    await calls.pushLogs(chunks()).catch(() => {});
  }

  #description(): NodeDescription {
    const { nodeId, hostname, memoryBytes } = this.options;
    const dataPlane = "dataPlane" in this.options ? this.options.dataPlane : { overlay: true };
    return NodeDescription.fromPartial({
      hostname: hostname ?? nodeId,
      address: this.address,
      os: "linux",
      architecture: "x86_64",
      nanoCpus: 4e9,
      memoryBytes: memoryBytes ?? 8 * 1024 ** 3,
      agentVersion: "fake",
      engineReady: true,
      dataPlane,
    });
  }
}

function emptyStatus(): TaskStatus {
  return TaskStatus.fromPartial({ state: TaskState.ASSIGNED });
}

/** An endless sequence that is pushed from outside. */
function queue<T>(): { push(item: T): void; end(): void; items: AsyncGenerator<T> } {
  const waiting: T[] = [];
  let isEnded = false;
  let wake = (): void => {};
  async function* items(): AsyncGenerator<T> {
    while (!isEnded) {
      const item = waiting.shift();
      if (item !== undefined) yield item;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  }
  return {
    push: (item) => {
      waiting.push(item);
      wake();
    },
    end: () => {
      isEnded = true;
      wake();
    },
    items: items(),
  };
}
