import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { BerthError, ListNodesResponse, WatchServicesResponse } from "@berth/proto";
import { RotatingIdentity, tlsMaterialOf } from "@berth/proto/rpc";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { type FakeControlHandlers, watching } from "../testing/fake-control.js";
import { FakeTlsCluster } from "../testing/fake-tls-control.js";
import { createFailoverClient, type FailoverClient } from "./failover-client.js";

/** Refuses connections: nothing listens there. */
const REFUSED = "127.0.0.1:1";
/** Fails at once with EACCES or ENETUNREACH, like a host without a route. */
const UNREACHABLE = "255.255.255.255:1";

let cluster: FakeTlsCluster;
let identity: RotatingIdentity;
const cleanUps: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  cluster = await FakeTlsCluster.create();
  identity = new RotatingIdentity(tlsMaterialOf(await cluster.issue({ kind: "user", name: "alice" })));
}, 60_000);
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function startServer(
  handlers: FakeControlHandlers,
): Promise<{ address: string; close: () => Promise<void> }> {
  const control = await cluster.start(handlers);
  cleanUps.push(control.close);
  return control;
}

function clientOf(first: string, ...others: string[]): FailoverClient {
  const serverAt = (address: string) => ({ address, identity });
  const connection = createFailoverClient([serverAt(first), ...others.map(serverAt)]);
  cleanUps.push(connection.close);
  return connection;
}

const listNodes = async (): Promise<ListNodesResponse> => ListNodesResponse.fromPartial({});

describe("createFailoverClient", () => {
  it("connects to the only server that is up", async () => {
    const { address } = await startServer({ listNodes });
    const { calls } = clientOf(REFUSED, UNREACHABLE, address);
    await expect(calls.listNodes({})).resolves.toEqual({ nodes: [] });
  });

  it("connects ahead of the first call, and not after it was closed", async () => {
    const received: Buffer[] = [];
    const listener = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (data: Buffer) => received.push(data));
    });
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    cleanUps.push(() => void listener.close());
    const address = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
    const closed = clientOf(REFUSED, address);
    closed.connect();
    closed.close();
    clientOf(REFUSED, address).connect();
    // A TLS handshake starts with a record of the type 22.
    await vi.waitFor(() => expect(received.map((data) => data[0])).toEqual([22]), { timeout: 10_000 });
  });

  it("repeats a call on another server when its server shuts down", async () => {
    const called: string[] = [];
    const first = await startServer({
      listNodes: async () => {
        called.push("first");
        await first.close();
        return listNodes();
      },
    });
    const second = await startServer({
      listNodes: async () => {
        called.push("second");
        return listNodes();
      },
    });
    await clientOf(first.address, second.address).calls.listNodes({});
    expect(called).toEqual(["first", "second"]);
  });

  it("returns an error response without asking another server", async () => {
    const notFound = new BerthError({ code: "BERTH_NOT_FOUND", message: "no such node" });
    const first = await startServer({ listNodes: () => Promise.reject(notFound) });
    const second = await startServer({ listNodes });
    const { calls } = clientOf(first.address, second.address);
    await expect(calls.listNodes({})).rejects.toMatchObject({ code: "BERTH_NOT_FOUND" });
  });

  it("fails a stream that has started, and opens the next one on another server", async () => {
    const first = await startServer({
      watchServices: async function* () {
        yield WatchServicesResponse.fromPartial({});
        throw new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message: "shutting down" });
      },
    });
    const second = await startServer({ watchServices: watching(WatchServicesResponse.fromPartial({})) });
    const { calls } = clientOf(first.address, second.address);
    let received = 0;
    const read = async (): Promise<void> => {
      for await (const _ of calls.watchServices({ serviceIds: [] })) received += 1;
    };
    await expect(read()).rejects.toMatchObject({ code: "BERTH_SERVER_UNREACHABLE" });
    expect(received).toBe(1);
    void read().catch(() => {});
    while (received < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  it("names the server that cannot be reached when none can", async () => {
    const call = clientOf(REFUSED, REFUSED).calls.listNodes({});
    await expect(call).rejects.toMatchObject({
      code: "BERTH_SERVER_UNREACHABLE",
      message: expect.stringContaining(REFUSED),
    });
  });
});
