// The schema of the records is raised by command. Another release is a server with another schema.
import { Server_State as ServerState } from "@berth/proto";
import { expect, test } from "vitest";
import type { Schema } from "../../packages/control-plane/src/core/schema/migrations.js";
import { ROOT, SCHEMA_KEY } from "../../packages/control-plane/src/store/keys.js";
import { readAll, readOne } from "../../packages/control-plane/src/store/read.js";
import type { Store } from "../../packages/control-plane/src/store/store.js";
import { eventually } from "../harness/eventually.js";
import { converged, deployment, runningTasks, service, type TestServer } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

/** The next release: it adds a field to services and tasks. */
const NEXT: Schema = {
  versions: { oldest: 1, newest: 2 },
  migrations: [
    {
      version: 2,
      collections: ["services", "tasks"],
      migrate: ({ value }) => ({ ...value, cell: "default" }),
    },
  ],
};
const REPLICAS = 150;

const context = useTestCluster();
const never = new AbortController().signal;

async function records(store: Store, collection: string): Promise<readonly Record<string, unknown>[]> {
  const { entries } = await readAll(store, { prefix: `${ROOT}${collection}/` }, never);
  return entries.map(({ value }) => JSON.parse(value) as Record<string, unknown>);
}

async function untilServing({ calls }: TestServer, schemaVersion: number): Promise<void> {
  await eventually(`a leader serves schema ${schemaVersion}`, async () => {
    const cluster = await calls.getCluster({}).catch(() => undefined);
    return cluster?.schemaVersion === schemaVersion;
  });
}

/** Waits until all servers have records. The leader writes them some time after the servers have registered. */
async function untilRecorded({ calls }: TestServer, servers: number): Promise<void> {
  await eventually(`${servers} servers have records`, async () => {
    return (await calls.listServers({})).servers.length === servers;
  });
}

/** Removes stopped servers until only running ones are left. For a moment, the record of a stopped server says UP. */
async function removeStoppedServers({ calls }: TestServer, runningServers: number): Promise<void> {
  await eventually("only running servers are left", async () => {
    const { servers } = await calls.listServers({});
    const stopped = servers.flatMap(({ server }) => (server?.state === ServerState.DOWN ? [server.id] : []));
    // Only one server can be removed at a time.
    for (const server of stopped) await calls.removeServer({ server, force: false }).catch(() => {});
    return servers.length === runningServers;
  });
}

test("the schema is raised once no server of an older release runs, and all records are migrated", async () => {
  const { cluster } = context;
  const old = await cluster.startServer();
  const next = await cluster.startServer(undefined, { schema: NEXT });
  const last = await cluster.startServer(undefined, { schema: NEXT });
  const [agent] = await cluster.startAgents(["n1"]);
  await old.calls.deployStack(deployment([service("web", { replicas: REPLICAS })]));
  await converged(old.calls, "shop_web");
  await untilRecorded(old, 3);

  // The old release leads, and knows no newer version.
  expect(await old.calls.finalizeUpgrade({})).toEqual({ from: 1, to: 1 });
  await old.stop();
  await untilServing(next, 1);
  const joining = await cluster.startServer();
  await eventually("the old release is registered again", async () => {
    return (await next.calls.getCluster({})).supportedSchemaVersion === 1;
  });
  await expect(next.calls.finalizeUpgrade({})).rejects.toMatchObject({
    code: "BERTH_VERSION_UNSUPPORTED",
    message: expect.stringContaining(`these servers run an older release: ${joining.address}`),
  });
  await joining.stop();
  await eventually("no server of the old release is registered", async () => {
    return (await next.calls.getCluster({})).supportedSchemaVersion === 2;
  });
  await expect(next.calls.finalizeUpgrade({})).rejects.toThrow("these servers are not running");
  await removeStoppedServers(next, 2);

  const before = agent?.runningTaskIds;
  const { store } = cluster.openStore();
  expect(await next.calls.finalizeUpgrade({})).toEqual({ from: 1, to: 2 });
  await untilServing(last, 2);
  expect((await readOne(store, SCHEMA_KEY, never))?.value).toBe("2");
  for (const collection of ["services", "tasks"]) {
    for (const record of await records(store, collection)) expect(record).toMatchObject({ cell: "default" });
  }
  expect(await records(store, "tasks")).toHaveLength(REPLICAS);
  await converged(next.calls, "shop_web");
  expect(agent?.runningTaskIds.toSorted()).toEqual(before?.toSorted());

  // Servers whose release does not know the field keep it when they change a record.
  await next.calls.scaleServices({ services: [{ service: "shop_web", replicas: REPLICAS - 1 }] });
  await converged(next.calls, "shop_web");
  expect(await records(store, "services")).toMatchObject([{ cell: "default" }]);
  // A service has converged when a task is to stop, and the task runs until its agent has stopped it.
  await eventually(
    "the task has stopped",
    async () => (await runningTasks(next.calls, "shop_web")).length === REPLICAS - 1,
  );

  const { entries } = await readAll(store, { prefix: ROOT }, never);
  await expect(cluster.startServer()).rejects.toMatchObject({
    code: "BERTH_SCHEMA_UNSUPPORTED",
    message: expect.stringContaining("has schema 2, but this release of berth supports schema 1"),
  });
  const keys = entries.map(({ key }) => key);
  const after = (await readAll(store, { prefix: ROOT }, never)).entries.map(({ key }) => key);
  expect(after).toEqual(keys);
});
