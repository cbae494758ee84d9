// Clients with a valid identity that do not read what they ask for.
import { setTimeout as sleep } from "node:timers/promises";
import {
  ControlServiceService,
  DispatcherServiceService,
  ExecOutput,
  ExecRequest,
  LogEntry,
  PushExecRequest,
  PushLogsRequest,
  type SessionResponse,
  StreamAuditRequest,
  StreamEventsRequest,
  StreamLogsRequest,
  TaskState,
  WatchStatsRequest,
} from "@berth/proto";
import { createRpcClient, type RpcConnection } from "@berth/proto/rpc";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../harness/eventually.js";
import type { RawSession } from "../harness/raw-session.js";
import { deployment, service } from "../harness/test-cluster.js";
import { connectDeaf, connectStalled, type UnreadClient } from "../harness/unread-calls.js";
import { LeaderRig } from "./leader-rig.js";

/** A state of such a service takes about half a megabyte. */
const REPLICAS = 1_000;
const CONNECTIONS = 8;
const CALLS_OF_A_CONNECTION = 60;
/** The server notices within 15 s that a client does not answer its pings. */
const CLOSE_TIMEOUT_MS = 30_000;
const CHUNK_BYTES = 64 * 1024;
/** Longer than the leader takes for the next message of a call. */
const STABLE_MS = 2_000;

let rig: LeaderRig;
let busy: RawSession;
let pusher: RpcConnection<typeof DispatcherServiceService>;
let serviceId = "";
let taskId = "";
/** Bytes that the leader has accepted from the node for its client. */
let pushedBytes = 0;
const clients: UnreadClient[] = [];

beforeAll(async () => {
  rig = await LeaderRig.start();
  busy = await rig.open("busy", "127.1.0.2", answer);
  const identity = await rig.cluster.admit("busy");
  pusher = createRpcClient(DispatcherServiceService, { address: rig.server.address, identity });
  const big = service("big", { replicas: REPLICAS, constraints: ["node.id == busy"] });
  await rig.control.calls.deployStack(deployment([service("web", { global: true }), big]));
  await eventually(
    "all tasks are assigned",
    () => rig.honest.taskIds.size >= 1 && busy.taskIds.size > REPLICAS,
  );
  const { service: summary } = await rig.control.calls.getService({ service: "shop_big" });
  serviceId = summary?.service?.id ?? "";
  const listBig = () => rig.control.calls.listTasks({ service: "shop_big", stack: "", node: "" });
  const [task] = (await listBig()).tasks;
  taskId = task?.id ?? "";
  busy.report(taskId, "running");
  await eventually("a task runs", async () => {
    const { tasks } = await listBig();
    return tasks.some(({ id, status }) => id === taskId && status?.state === TaskState.RUNNING);
  });
});

afterAll(async () => {
  for (const client of clients) client.close();
  pusher?.close();
  busy?.close();
  await rig?.close();
});

/** Sends logs and output without end, as fast as the leader takes them. */
function answer(message: SessionResponse["message"]): void {
  if (message?.$case === "startLogs") {
    pusher.calls.pushLogs(logs(message.value.requestId)).catch(() => {});
  } else if (message?.$case === "startExec") {
    void drain(pusher.calls.pushExec(output(message.value.requestId)));
  }
}

async function* logs(requestId: string): AsyncGenerator<PushLogsRequest> {
  const line = Buffer.alloc(CHUNK_BYTES, "x");
  for (let timeNs = 1; ; timeNs++) {
    yield PushLogsRequest.fromPartial({
      requestId,
      entries: [LogEntry.fromPartial({ timeNs: `${timeNs}`, line })],
    });
    pushedBytes += CHUNK_BYTES;
  }
}

async function* output(requestId: string): AsyncGenerator<PushExecRequest> {
  const started = { message: { $case: "started" as const, value: { taskId, nodeHostname: "", tty: false } } };
  yield PushExecRequest.fromPartial({ requestId, output: started });
  const stdout = { message: { $case: "stdout" as const, value: Buffer.alloc(CHUNK_BYTES) } };
  for (;;) {
    yield { requestId: "", output: ExecOutput.fromPartial(stdout), error: "" };
    pushedBytes += CHUNK_BYTES;
  }
}

async function drain(messages: AsyncIterable<unknown>): Promise<void> {
  try {
    for await (const _ of messages);
  } catch {
    // The leader has ended the stream.
  }
}

/** Opens calls of all methods with a large or an endless response. */
function callAll(client: UnreadClient): void {
  const { watchServices, listTasks, streamEvents, streamAudit, watchStats } = ControlServiceService;
  for (let call = 0; call < CALLS_OF_A_CONNECTION; call += 5) {
    client.call(watchServices, { serviceIds: [serviceId] });
    client.call(listTasks, { service: "shop_big", stack: "", node: "" });
    client.call(streamEvents, StreamEventsRequest.fromPartial({ follow: true }));
    client.call(streamAudit, StreamAuditRequest.fromPartial({ follow: true }));
    client.call(watchStats, WatchStatsRequest.fromPartial({ intervalMs: 500 }));
  }
}

/** Changes the service, so that watches have something to send. */
async function change(): Promise<void> {
  busy.report(taskId, `changed at ${performance.now()}`);
}

test("slow-client: a user with many calls that reads none costs a bounded amount of memory and delays no one", async () => {
  const identity = await rig.joinUser("stalled");
  let opened = 0;
  await rig.compare("480 unread calls of one user", async () => {
    if (opened < CONNECTIONS) {
      opened += 1;
      const client = connectStalled(rig.server.address, identity);
      clients.push(client);
      callAll(client);
    }
    await change();
  });
});

test("slow-client: connections whose socket is not read cost a bounded amount of memory and are closed", async () => {
  const identity = await rig.joinUser("deaf");
  const deaf: UnreadClient[] = [];
  await rig.compare("480 calls on sockets that are not read", async () => {
    if (deaf.length < CONNECTIONS) {
      const client = await connectDeaf(rig.server.address, identity);
      deaf.push(client);
      clients.push(client);
      callAll(client);
    }
    await change();
  });
  await eventually(
    "the server has closed the connections",
    () => deaf.every((client) => client.isClosed()),
    CLOSE_TIMEOUT_MS,
  );
});

test("slow-client: logs and output that a user does not read are held back at their node", async () => {
  const identity = await rig.joinUser("holder");
  const client = connectStalled(rig.server.address, identity);
  clients.push(client);
  const { streamLogs, exec } = ControlServiceService;
  const start = { target: taskId, command: { command: ["cat"], env: [], tty: false } };
  let opened = 0;
  await rig.compare("40 unread logs and 40 unread commands", async () => {
    for (let end = opened + 4; opened < end && opened < 40; opened++) {
      client.call(streamLogs, StreamLogsRequest.fromPartial({ target: taskId, follow: true, tail: 0 }));
      client.call(exec, ExecRequest.fromPartial({ message: { $case: "start", value: start } }));
    }
  });
  const held = await eventually("all buffers are full", async () => {
    const before = pushedBytes;
    await sleep(STABLE_MS);
    return before > 0 && pushedBytes === before && before;
  });
  await rig.compare("held back", async () => {});
  expect(pushedBytes).toBe(held);
});
