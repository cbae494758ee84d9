import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { Client } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import {
  ControlServiceService,
  type GetNodeRequest,
  type StreamLogsResponse,
} from "../../gen/berth/v1/control.js";
import {
  DispatcherServiceService,
  SessionRequest,
  type SessionResponse,
} from "../../gen/berth/v1/dispatcher.js";
import { BerthError } from "../errors.js";
import { LOCAL_USER } from "./caller.js";
import { createRpcClient } from "./client.js";
import { TLS_CLIENT_OPTIONS, tlsChannelCredentials } from "./credentials.js";
import { forwardService } from "./forward.js";
import { MAX_OPEN_CALLS } from "./open-calls.js";
import type { RotatingIdentity } from "./rpc-identity.js";
import { type RpcListener, type RpcServer, rpcService, startRpcServer } from "./server.js";
import { fromServiceError } from "./status.js";
import { FOLLOW, identityOf, TlsCluster } from "./testing/tls-cluster.js";
import type { CallContext, RpcHandlers } from "./types.js";

type Control = RpcHandlers<typeof ControlServiceService>;
type Dispatcher = RpcHandlers<typeof DispatcherServiceService>;

let cluster: TlsCluster;
let admin: RotatingIdentity;
let node: RotatingIdentity;
const cleanUps: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  cluster = await TlsCluster.start();
  admin = await identityOf(cluster.ca, { kind: "user", name: "admin" });
  node = await identityOf(cluster.ca, { kind: "node", id: "n1" });
});
afterAll(() => cluster.close());

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** A control service of which a test gives the methods that it calls. */
function control(handlers: Partial<Control>): Control {
  const missing = async (): Promise<never> => {
    throw new BerthError({ code: "BERTH_UNSUPPORTED", message: "not in this test" });
  };
  const all = Object.fromEntries(Object.keys(ControlServiceService).map((name) => [name, missing]));
  return { ...all, ...handlers } as unknown as Control;
}

async function serve(
  ...services: Parameters<typeof startRpcServer>[0]["services"][number][]
): Promise<RpcServer> {
  const server = await startRpcServer({ listener: listenerOn("127.0.0.1:0"), services });
  cleanUps.push(() => server.close(0));
  return server;
}

function listenerOn(address: string): RpcListener {
  return { kind: "tcp", address, security: cluster.security };
}

async function connect(handlers: Partial<Control>) {
  const server = await serve(rpcService(ControlServiceService, control(handlers)));
  const client = createRpcClient(ControlServiceService, { address: server.address, identity: admin });
  cleanUps.push(client.close);
  return client.calls;
}

function logLine(text: string): StreamLogsResponse {
  return { message: { $case: "warning", value: text } };
}

it("a client can connect ahead of its first call", async () => {
  const listener = createServer((socket) => socket.on("error", () => {}));
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  cleanUps.push(() => void listener.close());
  const address = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
  const client = createRpcClient(ControlServiceService, { address, identity: admin });
  cleanUps.push(client.close);
  client.connect();
  const [socket] = (await once(listener, "connection")) as [Socket];
  socket.destroy();
});

describe("unary calls", () => {
  it("unary calls carry code, text beyond ASCII and details of a BerthError to the caller", async () => {
    const calls = await connect({
      getNode: async () => {
        throw new BerthError({
          code: "BERTH_NOT_FOUND",
          message: "no node “héé”\nsecond line",
          details: { node: "ñ" },
        });
      },
    });
    const error: unknown = await calls.getNode({ node: "x" }).catch((e: unknown) => e);
    expect(error).toMatchObject({
      name: "BerthError",
      code: "BERTH_NOT_FOUND",
      message: "no node “héé”\nsecond line",
      details: { node: "ñ" },
    });
  });

  it("unary calls carry the beginning of a very long message", async () => {
    const text = "héé ".repeat(20_000);
    const calls = await connect({
      getNode: async () => {
        throw new BerthError({ code: "BERTH_NOT_FOUND", message: text, details: { text } });
      },
    });
    const error: unknown = await calls.getNode({ node: "x" }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "BERTH_NOT_FOUND" });
    expect(error instanceof Error && error.message.slice(0, 4_000)).toBe(text.slice(0, 4_000));
  });

  it("unary calls report a bug in a handler as BERTH_INTERNAL and keep serving", async () => {
    const calls = await connect({
      getNode: async ({ node }: GetNodeRequest) => {
        if (node === "bug") throw new TypeError("undefined is not a node");
        return { node: undefined };
      },
    });
    await expect(calls.getNode({ node: "bug" })).rejects.toMatchObject({ code: "BERTH_INTERNAL" });
    await expect(calls.getNode({ node: "ok" })).resolves.toEqual({ node: undefined });
  });

  it("unary calls end at their deadline and abort the signal of the handler", async () => {
    let aborted: Promise<void> | undefined;
    const calls = await connect({
      getNode: (_, { signal }: CallContext) => {
        aborted = new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
        return new Promise(() => {});
      },
    });
    await expect(calls.getNode({ node: "" }, { timeoutMs: 50 })).rejects.toMatchObject({
      code: "BERTH_DEADLINE",
    });
    await aborted;
  });

  it("unary calls reject with the reason of their signal", async () => {
    const calls = await connect({ getNode: () => new Promise(() => {}) });
    const controller = new AbortController();
    const call = calls.getNode({ node: "" }, { signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(call).rejects.toThrow("enough");
  });

  it("unary calls name the address when there is no server", async () => {
    const client = createRpcClient(ControlServiceService, { address: "127.0.0.1:1", identity: admin });
    cleanUps.push(client.close);
    await expect(client.calls.getCluster({})).rejects.toMatchObject({
      code: "BERTH_SERVER_UNREACHABLE",
      message: expect.stringMatching(
        /at 127\.0\.0\.1:1: connect ECONNREFUSED 127\.0\.0\.1:1; check that it is running/,
      ),
    });
  });
});

describe("server streams", () => {
  it("server streams deliver every message in order and then end", async () => {
    const calls = await connect({
      streamLogs: async function* () {
        for (let i = 0; i < 1_000; i++) yield logLine(String(i));
      },
    });
    const seen: string[] = [];
    for await (const response of calls.streamLogs({
      target: "",
      follow: false,
      tail: 0,
      sinceMs: 0,
      untilMs: 0,
    })) {
      if (response.message?.$case === "warning") seen.push(response.message.value);
    }
    expect(seen).toEqual(Array.from({ length: 1_000 }, (_, i) => String(i)));
  });

  it("server streams stop the producer when the caller leaves the loop", async () => {
    let stopped: () => void = () => {};
    const over = new Promise<void>((resolve) => {
      stopped = resolve;
    });
    const calls = await connect({
      streamLogs: async function* (_, { signal }) {
        signal.addEventListener("abort", stopped);
        for (;;) {
          yield logLine("more");
          await new Promise((resolve) => setImmediate(resolve));
        }
      },
    });
    for await (const _ of calls.streamLogs({ target: "", follow: true, tail: 0, sinceMs: 0, untilMs: 0 })) {
      break;
    }
    await over;
  });

  it("server streams hold back a producer whose reader is slow", async () => {
    let produced = 0;
    const calls = await connect({
      streamLogs: async function* () {
        for (; produced < 10_000; produced++) yield logLine("x".repeat(64 * 1024));
      },
    });
    for await (const _ of calls.streamLogs({ target: "", follow: true, tail: 0, sinceMs: 0, untilMs: 0 })) {
      await new Promise((resolve) => setTimeout(resolve, 300));
      break;
    }
    expect(produced).toBeLessThan(1_000);
  });

  it("server streams pass on what a producer throws half way", async () => {
    const calls = await connect({
      streamLogs: async function* () {
        yield logLine("one");
        throw new BerthError({ code: "BERTH_CONFLICT", message: "half way" });
      },
    });
    const read = async (): Promise<void> => {
      for await (const _ of calls.streamLogs({ target: "", follow: true, tail: 0, sinceMs: 0, untilMs: 0 }));
    };
    await expect(read()).rejects.toMatchObject({ code: "BERTH_CONFLICT", message: "half way" });
  });
});

describe("two-way streams", () => {
  const beat: SessionRequest = {
    message: { $case: "heartbeat", value: { appliedSequence: 1, lagMs: 0, number: 1 } },
  };
  const echo: Dispatcher["session"] = async function* (requests) {
    let batch = 0;
    for await (const _ of requests) yield ack(++batch);
  };

  function ack(batch: number): SessionResponse {
    return { message: { $case: "statusesAck", value: { batch } } };
  }

  async function dispatcher(session: Dispatcher["session"]) {
    const others = {
      pushLogs: async () => ({}),
      pushStats: async () => ({}),
      findImage: async () => ({ sources: [] }),
      async *pushExec() {},
      async *receiveImage() {},
    };
    const server = await serve(rpcService(DispatcherServiceService, { session, ...others }));
    const client = createRpcClient(DispatcherServiceService, { address: server.address, identity: node });
    cleanUps.push(client.close);
    return { server, calls: client.calls };
  }

  it("two-way streams answer message by message, and end when the caller's side ends", async () => {
    const { calls } = await dispatcher(echo);
    async function* requests() {
      for (let i = 0; i < 3; i++) yield beat;
    }
    const seen: SessionResponse[] = [];
    for await (const response of calls.session(requests())) seen.push(response);
    expect(seen).toEqual([ack(1), ack(2), ack(3)]);
  });

  it("two-way streams end for the caller when the server closes", async () => {
    const { server, calls } = await dispatcher(echo);
    async function* requests() {
      yield beat;
      await new Promise(() => {});
    }
    const read = async (): Promise<void> => {
      for await (const _ of calls.session(requests())) void server.close(100);
    };
    await expect(read()).rejects.toBeInstanceOf(BerthError);
  });
});

describe("limits", () => {
  const exceeded = { code: "BERTH_LIMIT_EXCEEDED" };

  /** A connection to a session that answers each message, whose own client has no limits. */
  async function unlimited() {
    const others = {
      pushLogs: async () => ({}),
      pushStats: async () => ({}),
      findImage: async () => ({ sources: [] }),
      async *pushExec() {},
      async *receiveImage() {},
    };
    const received: number[] = [];
    const session: Dispatcher["session"] = async function* (requests) {
      for await (const { message } of requests) {
        if (message?.$case === "statuses") received.push(message.value.tasks.length);
        yield { message: undefined };
      }
    };
    const server = await serve(rpcService(DispatcherServiceService, { session, ...others }));
    const limits = { "grpc.max_send_message_length": -1, "grpc.use_local_subchannel_pool": 1 };
    const options = { ...TLS_CLIENT_OPTIONS, ...limits };
    const client = new Client(server.address, tlsChannelCredentials(node.current), options);
    cleanUps.push(() => client.close());
    const { path, requestSerialize, responseDeserialize } = DispatcherServiceService.session;
    const open = () => {
      const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
      // The call also fails when the test closes the server.
      call.on("error", () => {});
      return call;
    };
    return { open, received };
  }

  const requestOf = (bytes: number): SessionRequest =>
    SessionRequest.fromPartial({
      message: { $case: "statuses", value: { tasks: [{ taskId: "x".repeat(bytes) }] } },
    });

  it.each([
    ["of its service", 5 * 1024 * 1024],
    ["of the server", 40 * 1024 * 1024],
  ])("a server rejects a request beyond the limit %s, and keeps serving others", async (_, bytes) => {
    const { open, received } = await unlimited();
    const call = open();
    const failed = once(call, "error");
    call.on("data", () => {});
    call.write(requestOf(bytes));
    expect(fromServiceError((await failed.catch((error: unknown) => [error]))[0], "server")).toMatchObject(
      exceeded,
    );
    expect(received).toEqual([]);
    const next = open();
    next.write(requestOf(1_000_000));
    await once(next, "data");
    next.end();
    expect(received).toEqual([1]);
  });

  it("a client fails a request beyond the limit before it is sent", async () => {
    const calls = await connect({ getNode: async () => ({ node: undefined }) });
    await expect(calls.getNode({ node: "x".repeat(17 * 1024 * 1024) })).rejects.toMatchObject(exceeded);
    await expect(calls.getNode({ node: "x".repeat(15 * 1024 * 1024) })).resolves.toEqual({ node: undefined });
  });

  const openHandlers: Partial<Control> = {
    getNode: async () => ({ node: undefined }),
    streamLogs: async function* (_, { signal }) {
      yield logLine("open");
      await once(signal, "abort");
    },
  };

  it("reject calls of a client that has too many open, instead of blocking them", async () => {
    const server = await serve(rpcService(ControlServiceService, control(openHandlers)));
    const options = { address: server.address, identity: cluster.identity, forwarded: true };
    const { calls, close } = createRpcClient(ControlServiceService, options);
    cleanUps.push(close);
    const users = ["viewer", "deployer", "admin"].map((name) => ({ kind: "user", name }) as const);
    const callers = Array.from({ length: 1_024 }, (_, index) => users[index % 3] ?? LOCAL_USER);
    const streams = callers.map((caller) => {
      const forwardedFor = { client: "10.0.0.1:7", caller };
      return calls.streamLogs(FOLLOW, { forwardedFor })[Symbol.asyncIterator]();
    });
    await Promise.all(streams.map((stream) => stream.next()));
    const forwardedFor = { client: "10.0.0.1:7", caller: LOCAL_USER };
    await expect(calls.getNode({ node: "n" }, { forwardedFor })).rejects.toMatchObject({
      ...exceeded,
      message: expect.stringContaining("calls are open on this connection"),
    });
    await streams[0]?.return?.();
    await expect(
      calls.getNode(
        { node: "n" },
        { forwardedFor: { client: "10.0.0.1:7", caller: users[0] ?? LOCAL_USER } },
      ),
    ).resolves.toEqual({ node: undefined });
  });

  it("reject calls of a user who has too many open on several connections, and serve others", async () => {
    const server = await serve(rpcService(ControlServiceService, control(openHandlers)));
    const connectAs = (identity: RotatingIdentity) => {
      const client = createRpcClient(ControlServiceService, { address: server.address, identity });
      cleanUps.push(client.close);
      return client.calls;
    };
    const [first, second] = [connectAs(admin), connectAs(admin)];
    const streams = Array.from({ length: MAX_OPEN_CALLS.user }, (_, index) =>
      (index % 2 === 0 ? first : second).streamLogs(FOLLOW)[Symbol.asyncIterator](),
    );
    await Promise.all(streams.map((stream) => stream.next()));
    await expect(first.getNode({ node: "n" })).rejects.toMatchObject({
      ...exceeded,
      message: `call rejected: user "admin" has 512 open calls on this server, which is the limit; end some of them`,
    });
    const viewer = connectAs(await identityOf(cluster.ca, { kind: "user", name: "viewer" }));
    await expect(viewer.getNode({ node: "n" })).resolves.toEqual({ node: undefined });
    await streams[0]?.return?.();
    await vi.waitFor(() => expect(first.getNode({ node: "n" })).resolves.toEqual({ node: undefined }));
  });

  it("calls that could not be started do not count toward the limit", async () => {
    const server = await serve(
      rpcService(ControlServiceService, control({ getNode: async () => ({ node: undefined }) })),
    );
    const options = { address: server.address, identity: cluster.identity, forwarded: true };
    const { calls, close } = createRpcClient(ControlServiceService, options);
    cleanUps.push(close);
    const forwardedFor = { client: "10.0.0.1:7", caller: { kind: "user", name: "admin" } } as const;
    // grpc-js throws for metadata that HTTP cannot carry.
    const invalid = { forwardedFor: { ...forwardedFor, client: "\n" } };
    const notStarted = { code: "BERTH_SERVER_UNREACHABLE", message: expect.stringContaining("illegal") };
    for (let i = 0; i < 1_030; i++) {
      await expect(calls.getNode({ node: "n" }, invalid)).rejects.toMatchObject(notStarted);
      await expect(calls.streamLogs(FOLLOW, invalid)[Symbol.asyncIterator]().next()).rejects.toMatchObject(
        notStarted,
      );
    }
    await expect(calls.getNode({ node: "n" }, { forwardedFor })).resolves.toEqual({ node: undefined });
  });

  it("each call of a closed client says that the client was closed", async () => {
    const { address } = await serve();
    const { calls, close } = createRpcClient(ControlServiceService, { address, identity: admin });
    close();
    const closed = {
      code: "BERTH_SERVER_UNREACHABLE",
      message: `cannot call the berth server at ${address}: Channel has been shut down`,
    };
    for (let i = 0; i < 1_030; i++) await expect(calls.getNode({ node: "n" })).rejects.toMatchObject(closed);
  });
});

describe("forwardService()", () => {
  it("passes calls, streams and errors on, and marks them", async () => {
    let forwarded: Pick<CallContext, "forwarded" | "caller"> | undefined;
    const leader = await serve(
      rpcService(
        ControlServiceService,
        control({
          getNode: async ({ node }, context) => {
            forwarded = context;
            throw new BerthError({ code: "BERTH_NOT_FOUND", message: `no ${node}` });
          },
          streamLogs: async function* () {
            yield logLine("from the leader");
          },
        }),
      ),
    );
    const { identity } = cluster;
    const toLeader = createRpcClient(ControlServiceService, {
      address: leader.address,
      identity,
      forwarded: true,
    });
    cleanUps.push(toLeader.close);
    const follower = await serve(
      rpcService(
        ControlServiceService,
        forwardService(ControlServiceService, async () => toLeader.calls),
      ),
    );
    const client = createRpcClient(ControlServiceService, { address: follower.address, identity: admin });
    cleanUps.push(client.close);

    await expect(client.calls.getNode({ node: "n" })).rejects.toMatchObject({
      code: "BERTH_NOT_FOUND",
      message: "no n",
    });
    expect(forwarded).toMatchObject({ forwarded: true, caller: { kind: "user", name: "admin" } });
    const lines: StreamLogsResponse[] = [];
    for await (const line of client.calls.streamLogs({
      target: "",
      follow: false,
      tail: 0,
      sinceMs: 0,
      untilMs: 0,
    })) {
      lines.push(line);
    }
    expect(lines).toEqual([logLine("from the leader")]);
  });
});

describe("startRpcServer()", () => {
  it("names the address that is taken", async () => {
    const first = await serve();
    await expect(startRpcServer({ listener: listenerOn(first.address), services: [] })).rejects.toMatchObject(
      {
        code: "BERTH_ADDRESS_IN_USE",
        message: expect.stringContaining(first.address),
      },
    );
  });
});
