import { BerthError, ListNodesResponse, WatchServicesResponse } from "@berth/proto";
import { afterEach, describe, expect, it } from "vitest";
import { type FakeControlHandlers, startFakeControl, watching } from "../testing/fake-control.js";
import { createFailoverClient } from "./failover-client.js";

/** Nobody listens there: connections are refused. */
const NOBODY = "127.0.0.1:1";
/** Everybody, whom no connection can be made to: it fails at once, like a host without a route. */
const NOWHERE = "255.255.255.255:1";

const cleanUps: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function server(
  handlers: FakeControlHandlers,
): Promise<{ address: string; close: () => Promise<void> }> {
  const control = await startFakeControl(handlers);
  cleanUps.push(control.close);
  return control;
}

function client(...addresses: [string, ...string[]]): ReturnType<typeof createFailoverClient> {
  const connection = createFailoverClient(addresses);
  cleanUps.push(connection.close);
  return connection;
}

const listNodes = async (): Promise<ListNodesResponse> => ListNodesResponse.fromPartial({});

describe("connectAny()", () => {
  it("finds the one server that is up", async () => {
    const { address } = await server({ listNodes });
    await expect(client(NOBODY, NOWHERE, address).calls.listNodes({})).resolves.toEqual({ nodes: [] });
  });

  it("makes a call again with another server when its server goes away under it", async () => {
    const asked: string[] = [];
    const dying = await server({
      listNodes: async () => {
        asked.push("dying");
        await dying.close();
        return listNodes();
      },
    });
    const other = await server({
      listNodes: async () => {
        asked.push("other");
        return listNodes();
      },
    });
    await client(dying.address, other.address).calls.listNodes({});
    expect(asked).toEqual(["dying", "other"]);
  });

  it("tells an answer that is no, and asks nobody else", async () => {
    const no = new BerthError({ code: "BERTH_NOT_FOUND", message: "there is none" });
    const first = await server({ listNodes: () => Promise.reject(no) });
    const second = await server({ listNodes });
    const { calls } = client(first.address, second.address);
    await expect(calls.listNodes({})).rejects.toMatchObject({ code: "BERTH_NOT_FOUND" });
  });

  it("passes the end of a stream that has begun on to its reader, who finds the next server by asking again", async () => {
    const first = await server({
      watchServices: async function* () {
        yield WatchServicesResponse.fromPartial({});
        throw new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message: "it shuts down" });
      },
    });
    const second = await server({ watchServices: watching(WatchServicesResponse.fromPartial({})) });
    const { calls } = client(first.address, second.address);
    const read = async (): Promise<void> => {
      for await (const _ of calls.watchServices({ serviceIds: [] })) seen += 1;
    };
    let seen = 0;
    await expect(read()).rejects.toMatchObject({ code: "BERTH_SERVER_UNREACHABLE" });
    expect(seen).toBe(1);
    void read().catch(() => {});
    while (seen < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  it("says which server cannot be reached when none can", async () => {
    const call = client(NOBODY, NOBODY).calls.listNodes({});
    await expect(call).rejects.toMatchObject({
      code: "BERTH_SERVER_UNREACHABLE",
      message: expect.stringContaining(NOBODY),
    });
  });
});
