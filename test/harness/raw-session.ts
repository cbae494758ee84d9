import {
  DispatcherServiceService,
  Hello,
  isBerthError,
  PROTOCOL_FIELDS,
  type SessionRequest,
  type SessionResponse,
  TaskState,
  TaskStatus,
} from "@berth/proto";
import { createRpcClient, type RpcIdentity } from "@berth/proto/rpc";
import { eventually } from "./eventually.js";
import { asyncQueue } from "./fake-agent/async-queue.js";

export interface RawSessionOptions {
  readonly serverAddress: string;
  readonly nodeId: string;
  /** Identity of the node, which must already have joined the cluster. */
  readonly identity: RpcIdentity;
  /** Address of the node. No other node may have it. */
  readonly hostAddress: string;
  /** Called with each message of the leader. */
  readonly onMessage?: ((message: SessionResponse["message"]) => void) | undefined;
}

/** A session with the leader that sends whatever a test specifies, as a faulty agent might. */
export class RawSession {
  readonly nodeId: string;
  readonly taskIds = new Set<string>();
  /** Error code with which the session ended, or "ended". Undefined while the session is open. */
  outcome: string | undefined;
  readonly #stop = new AbortController();
  readonly #outgoing = asyncQueue<SessionRequest>();
  #ackedBatch = 0;
  #batch = 0;

  constructor({ serverAddress, nodeId, identity, hostAddress, onMessage }: RawSessionOptions) {
    this.nodeId = nodeId;
    const description = { hostname: nodeId, address: hostAddress, os: "linux", architecture: "x86_64" };
    const resources = { nanoCpus: 4e9, memoryBytes: 8 * 1024 ** 3, engineReady: true };
    const value = Hello.fromPartial({
      nodeId,
      ...PROTOCOL_FIELDS,
      bootId: "boot",
      description: { ...description, ...resources },
    });
    this.#outgoing.push({ message: { $case: "hello", value } });
    void this.#run(serverAddress, identity, onMessage);
  }

  send(message: SessionRequest["message"]): void {
    this.#outgoing.push({ message });
  }

  /** Reports a task as running with this message. Returns the batch number. */
  report(taskId: string, text: string): number {
    this.#batch += 1;
    const status = TaskStatus.fromPartial({ state: TaskState.RUNNING, message: text, containerId: "c" });
    const tasks = [{ taskId, serviceId: "", status, removed: false }];
    this.send({ $case: "statuses", value: { batch: this.#batch, tasks } });
    return this.#batch;
  }

  /** Reports a task as running. Returns how many milliseconds the leader took to acknowledge the report. */
  async measureAck(taskId: string): Promise<number> {
    const startedMs = performance.now();
    const batch = this.report(taskId, `report at ${startedMs}`);
    await eventually(`the report of node ${this.nodeId} is acknowledged`, () => this.#ackedBatch >= batch);
    return performance.now() - startedMs;
  }

  close(): void {
    this.#stop.abort();
    this.#outgoing.end();
  }

  async #run(
    address: string,
    identity: RpcIdentity,
    onMessage: RawSessionOptions["onMessage"] = () => {},
  ): Promise<void> {
    const client = createRpcClient(DispatcherServiceService, { address, identity });
    try {
      const heartbeat = { appliedSequence: 0, lagMs: 0, number: 0 };
      const timer = setInterval(() => this.send({ $case: "heartbeat", value: heartbeat }), 200);
      this.#stop.signal.addEventListener("abort", () => clearInterval(timer));
      for await (const { message } of client.calls.session(this.#outgoing.items, {
        signal: this.#stop.signal,
      })) {
        onMessage(message);
        if (message?.$case === "statusesAck") this.#ackedBatch = message.value.batch;
        if (message?.$case === "assignments") {
          for (const { id } of message.value.tasks) this.taskIds.add(id);
        }
      }
      this.outcome = "ended";
    } catch (error) {
      this.outcome = isBerthError(error) ? error.code : String(error);
    } finally {
      this.#stop.abort();
      client.close();
    }
  }
}
