import { setTimeout as sleep } from "node:timers/promises";
import {
  DispatcherServiceService,
  NodeDescription,
  type SessionRequest,
  type SessionResponse,
  Welcome,
} from "@berth/proto";
import { createKey, createRequest, type Identity } from "@berth/proto/identity";
import {
  grpcTransport,
  PERMISSIONS,
  RotatingIdentity,
  type RpcServer,
  rpcService,
  type TlsMaterial,
} from "@berth/proto/rpc";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { TestCluster, type TestValidity } from "../identity/testing/joined-host.js";
import { Ticker } from "../runtime/ticker.js";
import { LeaderLink } from "./leader-link.js";
import { SendQueue } from "./send-queue.js";
import type { ActiveSession, LeaderMessage, SessionHandler } from "./session.js";

const NODE = { kind: "node", id: "n1" } as const;

let cluster: TestCluster;
let leader: TestLeader;
const stopping: AbortController[] = [];

beforeEach(async () => {
  cluster = await TestCluster.create();
  leader = await TestLeader.start();
});

afterEach(async () => {
  for (const each of stopping.splice(0)) each.abort(new Error("test ended"));
  await leader.server.close(100);
});

async function materialOf(identity: Identity, validity: TestValidity = {}): Promise<TlsMaterial> {
  const key = createKey();
  const { certificate, authorities } = await cluster.certify(await createRequest(key), identity, validity);
  return { authorities, leaf: { certificate, key } };
}

/** Accepts sessions like the leader: a further session of an agent process ends the one before. */
class TestLeader {
  readonly bootIds: string[] = [];
  readonly ended: number[] = [];
  logMessages = 0;
  hasLogStreamEnded = false;
  #endCurrent = (): void => {};
  #server: RpcServer | undefined;

  static async start(): Promise<TestLeader> {
    const created = new TestLeader();
    const identity = new RotatingIdentity(await materialOf({ kind: "server", id: "s1" }));
    created.#server = await grpcTransport(identity).serve({
      address: "127.0.0.1:0",
      services: [
        rpcService(DispatcherServiceService, {
          session: (requests, { signal }) => created.#serve(requests, signal),
          pushLogs: (requests, { signal }) => created.#receiveLogs(requests, signal),
          pushExec: () => created.#unused(),
          receiveImage: () => created.#unused(),
          findImage: async () => ({ sources: [] }),
          pushStats: () => Promise.resolve({}),
        }),
      ],
      access: { permissions: PERMISSIONS, rolesOf: () => [] },
    });
    return created;
  }

  get server(): RpcServer {
    if (this.#server === undefined) throw new Error("not started");
    return this.#server;
  }

  async *#serve(
    requests: AsyncIterable<SessionRequest>,
    signal: AbortSignal,
  ): AsyncGenerator<SessionResponse> {
    const { value: hello } = await requests[Symbol.asyncIterator]().next();
    const { message } = hello as SessionRequest;
    const index = this.bootIds.push(message?.$case === "hello" ? message.value.bootId : "") - 1;
    this.#endCurrent();
    const ended = new AbortController();
    this.#endCurrent = () => ended.abort();
    signal.addEventListener("abort", () => ended.abort());
    yield { message: { $case: "welcome", value: Welcome.fromPartial({ epoch: 1, heartbeatMs: 500 }) } };
    if (index === 0) {
      const value = { requestId: "r1", taskId: "t1", follow: true, tail: 0, sinceMs: 0, untilMs: 0 };
      yield { message: { $case: "startLogs", value } };
    }
    while (!ended.signal.aborted) {
      await sleep(200, undefined, { signal: ended.signal }).catch(() => {});
      // An agent leaves a leader that is silent.
      yield { message: { $case: "heartbeatAck", value: { number: 1 } } };
    }
    this.ended.push(index);
  }

  async #receiveLogs(requests: AsyncIterable<unknown>, signal: AbortSignal): Promise<Record<string, never>> {
    signal.addEventListener("abort", () => {
      this.hasLogStreamEnded = true;
    });
    for await (const _ of requests) this.logMessages += 1;
    return {};
  }

  async *#unused(): AsyncGenerator<never> {}
}

/** Answers the leader like an agent, and streams a log when the leader asks for one. */
class TestHandler implements SessionHandler {
  connectionEnds = 0;

  handle(message: LeaderMessage, session: ActiveSession): void {
    if (message.$case === "welcome") session.join(message.value);
    if (message.$case === "startLogs") void session.calls.pushLogs(logMessages()).catch(() => {});
  }

  onSessionEnd(): void {}

  onConnectionEnd(): void {
    this.connectionEnds += 1;
  }
}

async function* logMessages() {
  for (;;) {
    yield { requestId: "r1", entries: [], error: "" };
    await sleep(50);
  }
}

function startLink(identity: RotatingIdentity): {
  readonly handler: TestHandler;
  readonly warnings: string[];
} {
  const handler = new TestHandler();
  const warnings: string[] = [];
  const stop = new AbortController();
  stopping.push(stop);
  const link = new LeaderLink({
    servers: [leader.server.address],
    nodeId: NODE.id,
    handler,
    generation: () => 0,
    reportedServers: () => [],
    transfersImages: false,
    transport: grpcTransport(identity),
    renewals: identity,
    probe: async () => true,
    ticker: new Ticker({ signal: stop.signal }),
    queue: new SendQueue(NodeDescription.create()),
    fence: { heartbeatNumber: () => 0 },
    appliedSequence: () => 0,
    log: pino({ level: "warn" }, { write: (line: string) => void warnings.push(line) }),
  });
  void link.run(stop.signal);
  return { handler, warnings };
}

describe("LeaderLink", () => {
  it("hands its session over after a renewal, and keeps a stream until the old certificate expires", async () => {
    const lifeMs = 15_000;
    const expiresAtMs = Date.now() + lifeMs;
    const identity = new RotatingIdentity(await materialOf(NODE, { untilMs: lifeMs }));
    const { handler, warnings } = startLink(identity);
    await vi.waitFor(() => expect(leader.logMessages).toBeGreaterThan(2), 5_000);
    identity.update(await materialOf(NODE));

    await vi.waitFor(() => expect(leader.ended).toEqual([0]), 2_000);
    expect(leader.bootIds).toEqual([leader.bootIds[0], leader.bootIds[0]]);
    const before = leader.logMessages;
    await vi.waitFor(() => expect(leader.logMessages).toBeGreaterThan(before + 5), 3_000);
    expect(Date.now()).toBeLessThan(expiresAtMs);
    expect([leader.hasLogStreamEnded, handler.connectionEnds]).toEqual([false, 0]);

    await vi.waitFor(() => expect(leader.hasLogStreamEnded).toBe(true), 20_000);
    expect(Date.now()).toBeGreaterThan(expiresAtMs - 1_000);
    await sleep(500);
    expect([leader.bootIds.length, leader.ended, handler.connectionEnds]).toEqual([2, [0], 0]);
    expect(warnings).toEqual([]);
  }, 60_000);
});
