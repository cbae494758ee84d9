import {
  type AssignedSpec,
  type AssignedTask,
  Assignments,
  Assignments_Kind,
  BerthError,
  DispatcherServiceService,
  type Hello,
  type NodeDescription,
  type ProbeResult,
  type PushLogsRequest,
  type ReportedTask,
  type SessionRequest,
  type SessionResponse,
  Welcome,
} from "@berth/proto";
import { PERMISSIONS, type RpcServer, rpcService, startRpcServer } from "@berth/proto/rpc";
import type { TestIdentities } from "../../harness/test-identities.js";

const HEARTBEAT_MS = 100;

/** The leader's side of a session. */
interface FakeSession {
  readonly hello: Hello;
  readonly send: (message: SessionResponse["message"]) => void;
  readonly end: (error?: Error) => void;
}

/**
 * A leader that sends what a test specifies, and records what the agent sends. When an agent loses its session, as it
 * may on a busy machine, its next session begins with the assignments of the last one, unless the test has ended it.
 */
export class FakeLeader {
  readonly reports = new Map<string, ReportedTask>();
  readonly history: ReportedTask[] = [];
  readonly logs: PushLogsRequest[] = [];
  readonly descriptions: NodeDescription[] = [];
  readonly probeResults: ProbeResult[] = [];
  /** Whether the leader acknowledges heartbeats. */
  acknowledgesHeartbeats = true;
  /** Whether the leader neither handles nor sends messages, like a stopped process. */
  isUnresponsive = false;
  sessionCount = 0;
  heartbeatCount = 0;
  appliedSequence = -1;
  epoch = 1;
  /** When set, the server refuses sessions and redirects agents to this address. */
  redirectTo: string | undefined;
  servers: string[] = [];
  #session: FakeSession | undefined;
  /** The last complete set with the increments that apply to it. */
  #assignments: Assignments[] = [];
  #server: RpcServer | undefined;
  #sequence = 0;

  /** Starts a leader of the cluster with these identities. */
  static async start(identities: TestIdentities, address = "127.0.0.1:0"): Promise<FakeLeader> {
    const leader = new FakeLeader();
    const { rpc } = await identities.createServer();
    leader.#server = await startRpcServer({
      listener: {
        kind: "tcp",
        address,
        security: { identity: rpc, permissions: PERMISSIONS, rolesOf: () => [] },
      },
      services: [
        rpcService(DispatcherServiceService, {
          session: (requests) => leader.#serve(requests),
          pushStats: async () => ({}),
          findImage: async () => ({ sources: [] }),
          async *receiveImage() {},
          async *pushExec() {},
          pushLogs: async (requests) => {
            for await (const request of requests) leader.logs.push(request);
            return {};
          },
        }),
      ],
    });
    return leader;
  }

  get address(): string {
    return this.#server?.address ?? "";
  }

  get hasSession(): boolean {
    return this.#session !== undefined;
  }

  async close(): Promise<void> {
    this.#session?.end();
    await this.#server?.close(0);
  }

  /** Ends the session, with an error if given, as a crash of the leader does. */
  endSession(error?: Error): void {
    this.#session?.end(error);
    this.#session = undefined;
  }

  sendComplete(
    specs: readonly AssignedSpec[],
    tasks: readonly AssignedTask[],
    more: Partial<Assignments> = {},
  ): void {
    this.#sequence += 1;
    this.sendAssignments({ kind: Assignments_Kind.COMPLETE, specs: [...specs], tasks: [...tasks], ...more });
  }

  sendIncrement(more: Partial<Assignments>): void {
    this.#sequence += 1;
    this.sendAssignments({ kind: Assignments_Kind.INCREMENTAL, appliesTo: this.#sequence - 1, ...more });
  }

  sendAssignments(fields: Partial<Assignments>): void {
    const value = Assignments.fromPartial({ resultsIn: this.#sequence, ...fields });
    if (value.kind === Assignments_Kind.COMPLETE) this.#assignments = [value];
    else if (value.appliesTo === this.#assignments.at(-1)?.resultsIn) this.#assignments.push(value);
    this.send({ $case: "assignments", value });
  }

  get sequence(): number {
    return this.#sequence;
  }

  send(message: SessionResponse["message"]): void {
    if (this.#session === undefined) throw new Error("no agent has joined");
    this.#session.send(message);
  }

  async *#serve(requests: AsyncIterable<SessionRequest>): AsyncGenerator<SessionResponse> {
    if (this.redirectTo !== undefined) {
      const details = { leader: this.redirectTo };
      throw new BerthError({ code: "BERTH_NOT_LEADER", message: "not the leader", details });
    }
    const queue: SessionResponse["message"][] = [];
    let wake = (): void => {};
    let end: { error?: Error | undefined } | undefined;
    const open = (hello: Hello): void => {
      const isSameProcess = this.#session?.hello.bootId === hello.bootId;
      this.sessionCount += 1;
      this.descriptions.push(...(hello.description ? [hello.description] : []));
      queue.push({
        $case: "welcome",
        value: Welcome.fromPartial({ epoch: this.epoch, heartbeatMs: HEARTBEAT_MS, servers: this.servers }),
      });
      if (isSameProcess) for (const value of this.#assignments) queue.push({ $case: "assignments", value });
      this.#session = {
        hello,
        send: (message) => {
          queue.push(message);
          wake();
        },
        end: (error) => {
          end = { error };
          wake();
        },
      };
      wake();
    };
    void (async () => {
      try {
        for await (const request of requests) this.#receive(request, open, queue, () => wake());
      } catch {}
      end ??= {};
      wake();
    })();
    for (;;) {
      const next = this.isUnresponsive ? undefined : queue.shift();
      if (next !== undefined) yield { message: next };
      else if (end?.error !== undefined) throw end.error;
      else if (end !== undefined) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  }

  #receive(
    { message }: SessionRequest,
    open: (hello: Hello) => void,
    queue: SessionResponse["message"][],
    wake: () => void,
  ): void {
    if (this.isUnresponsive) return;
    if (message?.$case === "hello") open(message.value);
    if (message?.$case === "description") this.descriptions.push(message.value);
    if (message?.$case === "heartbeat") {
      this.heartbeatCount += 1;
      this.appliedSequence = message.value.appliedSequence;
      const { number } = message.value;
      // The agent would leave a leader that sends nothing at all.
      const unrelated = { $case: "heartbeatInterval", value: { heartbeatMs: HEARTBEAT_MS } } as const;
      if (number > 0)
        queue.push(this.acknowledgesHeartbeats ? { $case: "heartbeatAck", value: { number } } : unrelated);
      wake();
    }
    if (message?.$case === "probeResult") this.probeResults.push(message.value);
    if (message?.$case !== "statuses") return;
    for (const report of message.value.tasks) {
      this.reports.set(report.taskId, report);
      this.history.push(report);
    }
    queue.push({ $case: "statusesAck", value: { batch: message.value.batch } });
    wake();
  }
}
