import { once } from "node:events";
import { request as requestHttp } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { afterEach, expect, test } from "vitest";
import { WebSocket } from "ws";
import { UserRole } from "../../gen/berth/v1/cluster.js";
import { ExecResponse, WatchClusterResponse } from "../../gen/berth/v1/control.js";
import { BerthError } from "../errors.js";
import { TestAuthority } from "../identity/testing/test-authority.js";
import { identityOf } from "../rpc/testing/tls-cluster.js";
import type { RpcClient } from "../rpc/types.js";
import type { Control } from "./api-methods.js";
import { WebGateway } from "./gateway.js";
import { listenWeb } from "./listen-web.js";
import { LoginCodes } from "./login-codes.js";
import { StaticFiles } from "./static-files.js";

const COOKIE = "berth-session";

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

interface Started {
  /** "host:port" */
  readonly address: string;
  /** The session's cookie. */
  readonly cookie: string;
}

/** Starts a gateway with these calls, and logs in. */
async function start(calls: Partial<RpcClient<Control>>, ca?: TestAuthority): Promise<Started> {
  const codes = new LoginCodes();
  const getCaller = async () => ({ name: "alice", role: UserRole.ADMIN, stacks: "" });
  const gateway = new WebGateway({
    backend: {
      redeem: async (code) => codes.redeem(code, 0),
      callsOf: () => ({ getCaller, ...calls }) as RpcClient<Control>,
    },
    files: await StaticFiles.read("/nonexistent"),
    checks: { scheme: ca === undefined ? "http" : "https", hostNames: new Set() },
    cookieName: COOKIE,
    nowMs: () => 0,
  });
  const identity = ca && (await identityOf(ca, { kind: "server", id: "s1" }));
  const listener = await listenWeb(gateway, { listen: "127.0.0.1:0", identity, option: "--web" });
  cleanUps.push(() => {
    gateway.close();
    listener.close();
  });
  const { address } = listener;
  if (ca !== undefined) return { address, cookie: "" };
  const { code } = codes.create({ userName: "alice", isReadOnly: false }, 0);
  const login = await post(address, "login", { code });
  return { address, cookie: login.headers.get("set-cookie")?.split(";")[0] ?? "" };
}

function post(address: string, name: string, body: unknown, cookie = ""): Promise<Response> {
  const headers = { "x-berth-api": "1", "content-type": "application/json", cookie };
  return fetch(`http://${address}/api/${name}`, { method: "POST", headers, body: JSON.stringify(body) });
}

test("a browser with HTTP/2 gets the document of the API, with the headers that protect the page", async () => {
  const { address } = await start({}, await TestAuthority.create());
  const session = connectHttp2(`https://${address}`, { rejectUnauthorized: false });
  cleanUps.push(() => session.close());
  const stream = session.request({ ":path": "/api/openapi.json" });
  const [headers] = await once(stream, "response");
  expect(headers).toMatchObject({
    ":status": 200,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": expect.stringContaining("frame-ancestors 'none'"),
  });
  let text = "";
  for await (const chunk of stream) text += chunk;
  expect(JSON.parse(text).openapi).toBe("3.1.0");
});

test("errors have the code of the call and the HTTP status of the code", async () => {
  const listNodes = async () => {
    throw new BerthError({ code: "BERTH_NO_LEADER", message: "no leader", details: { hint: "wait" } });
  };
  const { address, cookie } = await start({ listNodes });
  const response = await post(address, "ListNodes", {}, cookie);
  expect(response.status).toBe(503);
  expect(await response.json()).toEqual({
    error: { code: "BERTH_NO_LEADER", message: "no leader", details: { hint: "wait" } },
  });
  expect((await post(address, "Unknown", {}, cookie)).status).toBe(404);
  expect((await fetch(`http://${address}/api/ListNodes`, { headers: { cookie } })).status).toBe(400);
  expect((await post(address, "DeployStack", { stack: "x".repeat(33 * 1024 * 1024) }, cookie)).status).toBe(
    429,
  );
});

test("a client that does not read its stream is not sent more than its buffers hold", async () => {
  let pulled = 0;
  const message = WatchClusterResponse.fromPartial({
    message: {
      $case: "update",
      value: { removedTasks: Array.from({ length: 2_000 }, (_, index) => `task${index}`) },
    },
  });
  const watchCluster: RpcClient<Control>["watchCluster"] = async function* (_request, { signal } = {}) {
    while (signal?.aborted !== true) {
      pulled += 1;
      yield message;
      await delay(0);
    }
  };
  const { address, cookie } = await start({ watchCluster });
  const sent = requestHttp(`http://${address}/api/WatchCluster`, { headers: { cookie } });
  sent.end();
  const [response] = await once(sent, "response");
  response.pause();
  let before = -1;
  for (let waits = 0; waits < 100 && before !== pulled; waits += 1) {
    before = pulled;
    await delay(100);
  }
  const stalledAt = pulled;
  await delay(300);
  expect(pulled).toBe(stalledAt);
  response.resume();
  for (let waits = 0; waits < 100 && pulled < stalledAt + 10; waits += 1) await delay(50);
  expect(pulled).toBeGreaterThan(stalledAt + 9);
  sent.destroy();
});

test("a watch resumes at its position after the leader has changed, and tells the browser", async () => {
  const asked: (number | undefined)[] = [];
  const update = (sequence: number) =>
    WatchClusterResponse.fromPartial({
      message: {
        $case: "update",
        value: { position: { epoch: 1, sequence, revision: 9, eventSequence: 0 } },
      },
    });
  const watchCluster: RpcClient<Control>["watchCluster"] = async function* ({ after }) {
    asked.push(after?.sequence);
    yield update(asked.length);
    if (asked.length < 3) {
      throw new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message: "lost the leader" });
    }
    throw new BerthError({ code: "BERTH_PERMISSION_DENIED", message: "removed" });
  };
  const { address, cookie } = await start({ watchCluster });
  const headers = { cookie, "last-event-id": "1.7.9.0" };
  const text = await (await fetch(`http://${address}/api/WatchCluster`, { headers })).text();
  expect(asked).toEqual([7, 1, 2]);
  const fields = text.split("\n").filter((line) => /^(id|event): /.test(line));
  expect(fields).toEqual([
    "id: 1.1.9.0",
    "event: interrupted",
    "id: 1.2.9.0",
    "event: interrupted",
    "id: 1.3.9.0",
    "event: failure",
  ]);
  const invalid = await fetch(`http://${address}/api/WatchCluster`, {
    headers: { cookie, "last-event-id": "x" },
  });
  expect(invalid.status).toBe(400);
});

test("a watch is compressed for browsers that accept gzip", async () => {
  const update = WatchClusterResponse.fromPartial({
    message: { $case: "update", value: { removedTasks: Array.from({ length: 100 }, () => "task") } },
  });
  const watchCluster: RpcClient<Control>["watchCluster"] = async function* () {
    yield update;
    throw new BerthError({ code: "BERTH_PERMISSION_DENIED", message: "removed" });
  };
  const { address, cookie } = await start({ watchCluster });
  const read = async (encoding: string): Promise<Buffer> => {
    const headers = { cookie, "accept-encoding": encoding };
    const sent = requestHttp(`http://${address}/api/WatchCluster`, { headers });
    sent.end();
    const [response] = await once(sent, "response");
    expect(response.headers["content-encoding"]).toBe(encoding === "identity" ? undefined : "gzip");
    return Buffer.concat(await response.toArray());
  };
  const plain = await read("identity");
  expect(plain.toString()).toContain("event: failure");
  const compressed = await read("br, gzip");
  expect(gunzipSync(compressed).toString()).toBe(plain.toString());
  expect(compressed.length).toBeLessThan(plain.length / 2);
});

test("a WebSocket carries the requests and responses of a command as JSON, until one side ends it", async () => {
  const exec: RpcClient<Control>["exec"] = async function* (requests) {
    // Servers wait for a leader before they read the first request.
    await delay(100);
    for await (const { message } of requests) {
      if (message?.$case === "start") {
        yield ExecResponse.fromPartial({ output: { message: { $case: "started", value: {} } } });
      }
      if (message?.$case !== "input" || message.value.message?.$case !== "stdin") continue;
      const input = message.value.message.value.toString();
      if (input === "exit") return;
      const value = Buffer.from(`got ${input}`);
      yield ExecResponse.fromPartial({ output: { message: { $case: "stdout", value } } });
    }
  };
  const { address, cookie } = await start({ exec });
  const open = (): WebSocket =>
    new WebSocket(`ws://${address}/api/Exec`, { headers: { cookie, origin: `http://${address}` } });
  const socket = open();
  const messages: string[] = [];
  socket.on("message", (data) => messages.push(String(data)));
  await once(socket, "open");
  const stdin = (text: string): string =>
    JSON.stringify({ input: { stdin: Buffer.from(text).toString("base64") } });
  socket.send(JSON.stringify({ start: { target: "shop_web.1", command: { command: ["sh"] } } }));
  socket.send(stdin("hello"));
  socket.send(stdin("exit"));
  const [closeCode] = await once(socket, "close");
  expect(closeCode).toBe(1_000);
  expect(messages.map((text) => JSON.parse(text))).toEqual([
    { output: { started: {} } },
    { output: { stdout: Buffer.from("got hello").toString("base64") } },
  ]);

  const invalid = open();
  await once(invalid, "open");
  invalid.send(JSON.stringify({ start: { targets: "shop_web.1" } }));
  const [text] = await once(invalid, "message");
  expect(JSON.parse(String(text))).toMatchObject({ error: { code: "BERTH_INPUT_INVALID" } });
  expect((await once(invalid, "close"))[0]).toBe(4_000);
});
