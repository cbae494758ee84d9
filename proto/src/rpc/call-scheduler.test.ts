import { connect as connectHttp2 } from "node:http2";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ControlServiceService, type GetNodeResponse } from "../../gen/berth/v1/control.js";
import { CallScheduler, MAX_UNREAD_BYTES } from "./call-scheduler.js";
import { createRpcClient } from "./client.js";
import { rpcService, startRpcServer } from "./server.js";
import { identityOf, TlsCluster } from "./testing/tls-cluster.js";

const MIB = 1024 * 1024;
const never = new AbortController().signal;
const cleanUps: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

describe("CallScheduler", () => {
  const encodeBytes = (bytes: number) => (): Buffer => Buffer.alloc(bytes);

  it("encodes no further response of a caller at the limit, until one was sent", async () => {
    const scheduler = new CallScheduler(100);
    const [first, second] = [scheduler.open("a"), scheduler.open("a")];
    await first.encode(encodeBytes(150), never);
    const encode = vi.fn(encodeBytes(10));
    const waiting = second.encode(encode, never);
    await scheduler.open("b").encode(encodeBytes(10), never);
    expect(encode).not.toHaveBeenCalled();
    first.recordSent(150);
    await expect(waiting).resolves.toHaveLength(10);
  });

  it("encodes the responses of a caller in the order of their calls, and no more than there is room for", async () => {
    const scheduler = new CallScheduler(100);
    const first = scheduler.open("a");
    await first.encode(encodeBytes(100), never);
    const encoded: number[] = [];
    for (const call of [1, 2, 3]) {
      const encode = (): Buffer => {
        encoded.push(call);
        return Buffer.alloc(60);
      };
      void scheduler.open("a").encode(encode, never);
    }
    first.recordSent(100);
    expect(encoded).toEqual([1, 2]);
  });

  it("counts nothing of a call that has ended", async () => {
    const scheduler = new CallScheduler(100);
    const [first, second] = [scheduler.open("a"), scheduler.open("a")];
    await first.encode(encodeBytes(100), never);
    const waiting = second.encode(encodeBytes(1), never);
    first.close();
    first.recordSent(100);
    await waiting;
    second.close();
    await expect(scheduler.open("a").encode(encodeBytes(1), never)).resolves.toHaveLength(1);
  });

  it("encodes nothing for a call whose signal has aborted", async () => {
    const scheduler = new CallScheduler(100);
    const [first, second] = [scheduler.open("a"), scheduler.open("a")];
    await first.encode(encodeBytes(100), never);
    const encode = vi.fn(encodeBytes(1));
    const ended = new AbortController();
    const waiting = second.encode(encode, ended.signal);
    ended.abort(new Error("left"));
    await expect(waiting).rejects.toThrow("left");
    first.recordSent(100);
    expect(encode).not.toHaveBeenCalled();
  });

  it("starts 16 calls in each turn of the event loop, and lets callers take turns", async () => {
    const scheduler = new CallScheduler();
    const started: string[] = [];
    const start = (caller: string): void => scheduler.open(caller).start(() => started.push(caller));
    for (let call = 0; call < 40; call++) start("a");
    start("b");
    expect(started).toHaveLength(16);
    await nextTurn();
    expect(started.length).toBeLessThan(41);
    await vi.waitFor(() => expect(started).toHaveLength(41));
    expect(started.indexOf("b")).toBeLessThan(18);
  });

  it("does not start a call that has ended", async () => {
    const scheduler = new CallScheduler();
    for (let other = 0; other < 16; other++) scheduler.open("a").start(() => {});
    const call = scheduler.open("a");
    const start = vi.fn();
    call.start(start);
    call.close();
    await nextTurn();
    await nextTurn();
    expect(start).not.toHaveBeenCalled();
  });

  it("holds a stream back while it has unsent messages", async () => {
    const call = new CallScheduler().open("a");
    await call.encode(encodeBytes(128 * 1024), never);
    const ready = vi.fn();
    const waiting = call.untilRoom(never).then(ready);
    await sleep(0);
    expect(ready).not.toHaveBeenCalled();
    call.recordSent(128 * 1024);
    await waiting;
  });
});

describe("a server", () => {
  it("keeps a bounded number of responses for a user who reads none, and serves others", async () => {
    const cluster = await TlsCluster.start();
    cleanUps.push(() => cluster.close());
    let encoded = 0;
    const getNode = {
      ...ControlServiceService.getNode,
      responseSerialize: (): Buffer => {
        encoded += 1;
        return Buffer.alloc(MIB);
      },
      responseDeserialize: (): GetNodeResponse => ({ node: undefined }),
    };
    const service = rpcService({ getNode }, { getNode: async () => ({ node: undefined }) });
    const server = await startRpcServer({
      listener: { kind: "tcp", address: "127.0.0.1:0", security: cluster.security },
      services: [service],
    });
    cleanUps.push(() => server.close(0));
    const leaf = await cluster.ca.issue({ kind: "user", name: "viewer" });
    const session = connectHttp2(`https://${server.address}`, {
      rejectUnauthorized: false,
      cert: leaf.certificate,
      key: leaf.key,
      settings: { initialWindowSize: 0 },
    });
    cleanUps.push(() => session.destroy());
    for (let call = 0; call < 100; call++) {
      const headers = {
        ":method": "POST",
        ":path": getNode.path,
        "content-type": "application/grpc",
        te: "trailers",
      };
      const stream = session.request(headers);
      stream.on("error", () => {});
      stream.end(Buffer.alloc(5));
    }
    const limit = MAX_UNREAD_BYTES / MIB;
    await vi.waitFor(() => expect(encoded).toBe(limit), { timeout: 10_000 });
    const identity = await identityOf(cluster.ca, { kind: "user", name: "admin" });
    const other = createRpcClient({ getNode }, { address: server.address, identity });
    cleanUps.push(other.close);
    for (let call = 1; call <= 20; call++) await other.calls.getNode({ node: "n" });
    expect(encoded).toBe(limit + 20);
  });
});
