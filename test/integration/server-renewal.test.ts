import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ControlServiceService, StreamEventsRequest } from "@berth/proto";
import { certificateFacts, parseCertificate } from "@berth/proto/identity";
import { createRpcClient } from "@berth/proto/rpc";
import { pino } from "pino";
import { afterEach, expect, test } from "vitest";
import {
  openServerIdentity,
  type ServerIdentity,
} from "../../packages/control-plane/src/identity/server-identity.js";
import { systemRuntime } from "../../packages/control-plane/src/runtime/runtime.js";
import { startServer } from "../../packages/control-plane/src/server/server.js";
import { systemPlatform } from "../../packages/control-plane/src/server/server-platform.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import { startTestEtcd } from "../harness/etcd.js";
import { eventually } from "../harness/eventually.js";
import { deployment, service } from "../harness/test-cluster.js";

/** Half of the validity of a server's certificate: three days, and an hour before it was issued. */
const RENEWAL_AFTER_MS = 23.5 * 60 * 60 * 1_000;
/** How long after its start the server renews its certificate. The watch begins before. */
const RENEWS_IN_MS = 20_000;

const cleanUps: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const serialOf = ({ rpc }: ServerIdentity): string =>
  certificateFacts(parseCertificate(rpc.current.leaf?.certificate ?? "")).serial;

test("a server renews its certificate at half of its validity, and its streams continue", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "berth-renewal-"));
  cleanUps.push(() => rm(dataDir, { recursive: true, force: true }));
  const etcd = await startTestEtcd();
  cleanUps.push(() => etcd.close());
  const store = new EtcdStore({ endpoints: [etcd.endpoint] });
  cleanUps.push(() => store.close());
  const nowMs = Date.now() - RENEWAL_AFTER_MS + RENEWS_IN_MS;
  const identity = await openServerIdentity({ dataDir, nowMs, newId: systemRuntime.newId });
  const first = serialOf(identity);
  const stopping = new AbortController();
  const server = await startServer(
    {
      store,
      identity,
      runtime: systemRuntime,
      advertise: undefined,
      socket: join(dataDir, "s.sock"),
      platform: systemPlatform(identity.rpc),
      listen: "127.0.0.1:0",
      http: "127.0.0.1:0",
      logger: pino({ level: "silent" }),
    },
    stopping.signal,
  );
  cleanUps.push(async () => {
    stopping.abort();
    await server.stopped;
  });
  const admin = createRpcClient(ControlServiceService, { socket: join(dataDir, "s.sock") });
  cleanUps.push(() => admin.close());

  // The connection of another server that forwards the call of a user.
  const watcher = createRpcClient(ControlServiceService, {
    address: server.address,
    identity: identity.rpc,
    forwarded: true,
  });
  cleanUps.push(() => watcher.close());
  const root = { client: "test", caller: { kind: "user", name: "root" } } as const;
  const stacks: string[] = [];
  const request = StreamEventsRequest.fromPartial({ follow: true });
  const watching = (async () => {
    for await (const { message } of watcher.calls.streamEvents(request, { forwardedFor: root }))
      if (message?.$case === "event") stacks.push(message.value.stack);
  })();
  let failure: unknown;
  watching.catch((error: unknown) => {
    failure = error;
  });
  await eventually("the leader deploys a stack", () => admin.calls.deployStack(deployment([service("web")])));
  await eventually("the watch shows the deployment", () => stacks.includes("shop"));
  expect(serialOf(identity)).toBe(first);
  await eventually("the server renews its certificate", () => serialOf(identity) !== first, 60_000);
  stacks.length = 0;
  await admin.calls.deployStack(deployment([service("api")]));
  await eventually("the same watch shows the next deployment", () => stacks.includes("shop"));
  expect(failure).toBeUndefined();
});
