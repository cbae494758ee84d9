import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import {
  ControlServiceService,
  JoinKind,
  type Node,
  NodeState,
  StreamEventsRequest,
  WatchStatsRequest,
} from "@berth/proto";
import { createRequest, IdentityDirectory } from "@berth/proto/identity";
import { createRpcClient, type RpcConnection } from "@berth/proto/rpc";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { BERTH_PATH } from "../../deploy/lab/berth-commands.js";
import {
  type CertificateIssuer,
  clusterIssuer,
} from "../../packages/control-plane/src/identity/certificate-issuer.js";
import { openServerIdentity } from "../../packages/control-plane/src/identity/server-identity.js";
import { systemRuntime } from "../../packages/control-plane/src/runtime/runtime.js";
import { type RunningServer, startServer } from "../../packages/control-plane/src/server/server.js";
import { systemPlatform } from "../../packages/control-plane/src/server/server-platform.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { eventually } from "../harness/eventually.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { AgentProcess } from "./agent/agent-process.js";

const DAY_MS = 24 * 60 * 60_000;
/** How long the leader's certificates for nodes are valid. */
const NODE_VALIDITY_MS = 3 * DAY_MS;

let etcd: TestEtcd;
let store: EtcdStore;
let server: RunningServer;
let admin: RpcConnection<typeof ControlServiceService>;
/** Issues certificates that expire in half a minute: its clock is behind. */
const SHORT_VALIDITY_MS = 30_000;
let shortIssuer: CertificateIssuer;
const directory = temporaryDirectory();
const stopping = new AbortController();
const agents: AgentProcess[] = [];

beforeAll(async () => {
  etcd = await startTestEtcd();
  store = new EtcdStore({ endpoints: [etcd.endpoint] });
  const dataDir = join(directory, "server");
  const identity = await openServerIdentity({ dataDir, nowMs: Date.now(), newId: systemRuntime.newId });
  const { clusterKey, firstAuthority } = identity;
  shortIssuer = clusterIssuer({
    authorities: () => (firstAuthority === undefined ? [] : [firstAuthority]),
    clusterKey,
    wallClockMs: () => Date.now() - NODE_VALIDITY_MS + SHORT_VALIDITY_MS,
  });
  const socket = join(directory, "server.sock");
  server = await startServer(
    {
      store,
      identity,
      socket,
      advertise: undefined,
      listen: "127.0.0.1:0",
      http: "127.0.0.1:0",
      platform: systemPlatform(identity.rpc),
      runtime: systemRuntime,
      logger: pino({ level: process.env.BERTH_TEST_LOG ?? "silent" }),
    },
    stopping.signal,
  );
  admin = createRpcClient(ControlServiceService, { socket });
  await eventually("the leader has an authority", () =>
    createToken().then(
      () => true,
      () => false,
    ),
  );
});

afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.stopWithIngress();
  const { nodes } = await admin.calls.listNodes({});
  for (const { node } of nodes) await admin.calls.removeNode({ node: node?.id ?? "", force: true });
});

afterAll(async () => {
  admin?.close();
  stopping.abort();
  await server?.stopped;
  store?.close();
  await etcd?.close();
  await rm(directory, { recursive: true, force: true });
});

async function createToken({ requiresApproval = false } = {}): Promise<string> {
  const { token } = await admin.calls.createJoinToken({
    kind: JoinKind.NODE,
    ttlMs: DAY_MS,
    uses: 1,
    hostname: "",
    requiresApproval,
    replaceOthers: false,
    labels: {},
  });
  return token;
}

interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `berth agent join` with the token on standard input. */
async function runJoin(token: string, dataDir: string, ...args: string[]): Promise<CommandResult> {
  const command = [
    BERTH_PATH,
    "agent",
    "join",
    server.address,
    "--data-dir",
    dataDir,
    "--token-file",
    "-",
    ...args,
  ];
  const child = spawn(process.execPath, command);
  child.stdin.end(token);
  const exited = once(child, "exit");
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  await exited;
  return { code: child.exitCode, stdout, stderr };
}

/** Joins, and returns the ID of the node. */
async function joinHost(token: string, dataDir: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runJoin(token, dataDir, "-o", "json", ...args);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return JSON.parse(stdout).nodeId;
}

/** Replaces the certificate of a host by one that expires soon. */
async function shortenValidity(id: string, dataDir: string): Promise<void> {
  const identityDirectory = await IdentityDirectory.open(join(dataDir, "identity"));
  const request = await createRequest(await identityDirectory.prepareKey());
  await identityDirectory.store(await shortIssuer.issue({ kind: "node", id }, request));
}

/** Starts `berth agent` without the address of a server. No Docker daemon is needed for a session. */
function startAgent(dataDir: string, args = ["--advertise", "127.0.0.1"]): AgentProcess {
  const agent = new AgentProcess({
    servers: [],
    dataDir,
    dockerSocket: join(dataDir, "docker.sock"),
    args,
  });
  agents.push(agent);
  return agent;
}

async function nodeOf(id: string): Promise<Node | undefined> {
  const { nodes } = await admin.calls.listNodes({});
  return nodes.map(({ node }) => node).find((node) => node?.id === id);
}

const untilReady = (id: string): Promise<unknown> =>
  eventually("the node is ready", async () => (await nodeOf(id))?.state === NodeState.READY);

const untilLogged = (agent: AgentProcess, message: string): Promise<unknown> =>
  eventually(`the agent logs ${message}`, async () =>
    (await readFile(agent.logFile, "utf8")).includes(message),
  );

/**
 * Events that the test machine can cause: the host has no Docker, and a busy machine can delay heartbeats for the 0.4 s
 * after which a node is suspect.
 */
const UNRELATED_EVENTS: readonly string[] = ["NODE_PROBLEM", "NODE_SUSPECT", "NODE_CLEARED"];

/** Records the events of a node from now on. */
function recordEvents(id: string, signal: AbortSignal): string[] {
  const events: string[] = [];
  const request = StreamEventsRequest.fromPartial({ follow: true, sinceMs: Date.now() });
  void (async () => {
    for await (const { message } of admin.calls.streamEvents(request, { signal })) {
      if (message?.$case !== "event" || message.value.nodeId !== id) continue;
      const { reason, message: text } = message.value;
      if (!UNRELATED_EVENTS.includes(reason)) events.push(`${reason}: ${text}`);
    }
  })().catch(() => {});
  return events;
}

/** Records when the resource use of a node arrives. */
function recordSamples(id: string, signal: AbortSignal): number[] {
  const samples: number[] = [];
  const request = WatchStatsRequest.fromPartial({ intervalMs: 1_000 });
  void (async () => {
    for await (const { nodes } of admin.calls.watchStats(request, { signal })) {
      if (nodes.some(({ nodeId, stats }) => nodeId === id && stats !== undefined)) samples.push(Date.now());
    }
  })().catch(() => {});
  return samples;
}

describe("an agent whose certificate expires soon", () => {
  test("renews its certificate, and hands its session over before the old one expires, without an event", async () => {
    const dataDir = temporaryDirectory();
    const id = await joinHost(await createToken(), dataDir);
    const certificate = (): Promise<string> => readFile(join(dataDir, "identity", "certificate.pem"), "utf8");
    await shortenValidity(id, dataDir);
    const expiresAtMs = Date.now() + SHORT_VALIDITY_MS;
    const first = await certificate();
    const agent = startAgent(dataDir);
    await untilReady(id);
    const since = (await nodeOf(id))?.stateSinceMs;
    const watching = new AbortController();
    const events = recordEvents(id, watching.signal);
    const samples = recordSamples(id, watching.signal);
    await eventually("the node sends its resource use", () => samples.length > 0);

    await untilLogged(agent, "session continues with the renewed certificate");
    expect(await certificate()).not.toBe(first);
    expect(Date.now()).toBeLessThan(expiresAtMs);
    await eventually("the first certificate has expired", () => Date.now() > expiresAtMs, 60_000);
    const gaps = samples.slice(1).map((ms, i) => ms - (samples[i] ?? 0));
    expect(Math.max(...gaps)).toBeLessThan(5_000);
    await sleep(2_000);
    watching.abort();
    expect(await nodeOf(id)).toMatchObject({ state: NodeState.READY, stateSinceMs: since });
    expect(events).toEqual([]);
    const log = await readFile(agent.logFile, "utf8");
    expect(log).not.toMatch(/lost connection to leader|session ended when its certificate expired/);
  });
});

describe("berth agent join", () => {
  test("gives the host a certificate under whose id its agent becomes ready", async () => {
    const dataDir = temporaryDirectory();
    const { code, stdout } = await runJoin(await createToken(), dataDir);
    expect(code).toBe(0);
    expect(stdout).toMatch(/has joined the cluster berth-\S+ as node \S+ /);
    const [, id = ""] = /as node (\S+) /.exec(stdout) ?? [];
    startAgent(dataDir);
    await untilReady(id);
  });

  test("refuses on a host that has joined, unless forced, and while an agent uses the data directory", async () => {
    const dataDir = temporaryDirectory();
    const id = await joinHost(await createToken(), dataDir);
    const again = await runJoin(await createToken(), dataDir);
    expect(again).toMatchObject({ code: 1, stdout: "" });
    expect(again.stderr).toMatch(new RegExp(`already joined the cluster berth-\\S+ as node ${id}.*--force`));
    const agent = startAgent(dataDir);
    await untilReady(id);
    expect((await runJoin(await createToken(), dataDir, "--force")).stderr).toContain("an agent uses");
    await agent.kill("SIGTERM");
    const next = await joinHost(await createToken(), dataDir, "--force");
    expect(next).not.toBe(id);
    await admin.calls.removeNode({ node: id, force: true });
    startAgent(dataDir);
    await untilReady(next);
  });

  test("stores the address of the host for its agent, and prints the command that starts it", async () => {
    const dataDir = temporaryDirectory();
    const { code, stdout } = await runJoin(await createToken(), dataDir, "--advertise", "127.0.0.9");
    expect(code).toBe(0);
    expect(stdout).toContain(`\n  berth agent --data-dir ${dataDir}\n`);
    const [, id = ""] = /as node (\S+) /.exec(stdout) ?? [];
    startAgent(dataDir, []);
    await untilReady(id);
    expect((await nodeOf(id))?.description?.address).toBe("127.0.0.9");
  });

  test("rejects an address at which other hosts cannot reach this one, and keeps the token", async () => {
    const dataDir = temporaryDirectory();
    const token = await createToken();
    const rejected = await runJoin(token, dataDir, "--advertise", "0.0.0.0");
    expect(rejected).toMatchObject({ code: 2, stderr: expect.stringContaining("cannot reach 0.0.0.0") });
    await joinHost(token, dataDir);
  });

  test("leaves the host as it is when the token is rejected", async () => {
    const dataDir = temporaryDirectory();
    const token = await createToken();
    await joinHost(token, temporaryDirectory());
    const rejected = await runJoin(token, dataDir);
    expect(rejected.code).toBe(2);
    expect(rejected.stderr).toContain("BERTH_TOKEN_INVALID");
    await joinHost(await createToken(), dataDir);
  });
});

describe("an agent with an identity", () => {
  test("waits for approval, and starts once it is accepted", async () => {
    const dataDir = temporaryDirectory();
    const { stdout } = await runJoin(await createToken({ requiresApproval: true }), dataDir);
    expect(stdout).toContain("berth node accept");
    const [, id = ""] = /as node (\S+) /.exec(stdout) ?? [];
    const agent = startAgent(dataDir);
    await untilLogged(agent, "node awaits approval");
    expect((await nodeOf(id))?.state).toBe(NodeState.DOWN);
    await admin.calls.acceptNode({ node: id });
    await untilReady(id);
  });

  test("loses its session when its node is removed, and does not come back", async () => {
    const dataDir = temporaryDirectory();
    const id = await joinHost(await createToken(), dataDir);
    const agent = startAgent(dataDir);
    await untilReady(id);
    await admin.calls.removeNode({ node: id, force: true });
    await untilLogged(agent, "node was removed from the cluster");
    expect(await nodeOf(id)).toBeUndefined();
  });
});
