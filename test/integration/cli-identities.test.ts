import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { IdentityDirectory } from "@berth/proto/identity";
import { joinCluster } from "@berth/proto/rpc";
import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ContextHome } from "../../packages/cli/src/testing/context-home.js";
import type { BerthResult } from "../../packages/cli/src/testing/run-berth.js";
import { openServerIdentity } from "../../packages/control-plane/src/identity/server-identity.js";
import { systemRuntime } from "../../packages/control-plane/src/runtime/runtime.js";
import { type RunningServer, startServer } from "../../packages/control-plane/src/server/server.js";
import { systemPlatform } from "../../packages/control-plane/src/server/server-platform.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { eventually } from "../harness/eventually.js";

const BERTH = join(import.meta.dirname, "../../packages/cli/bin/berth.js");
/** ID of an unprivileged user. */
const UNPRIVILEGED = 65_534;

let directory: string;
let serverSocket: string;
let etcd: TestEtcd;
let store: EtcdStore;
let server: RunningServer;
/** The contexts of root on the server's host: none. */
let rootHome: ContextHome;
let userHome: ContextHome;
const stopping = new AbortController();

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-cli-identities-"));
  serverSocket = join(directory, "server.sock");
  etcd = await startTestEtcd();
  store = new EtcdStore({ endpoints: [etcd.endpoint] });
  const identity = await openServerIdentity({
    dataDir: join(directory, "server"),
    nowMs: Date.now(),
    newId: systemRuntime.newId,
  });
  server = await startServer(
    {
      store,
      identity,
      socket: serverSocket,
      runtime: systemRuntime,
      advertise: undefined,
      platform: systemPlatform(identity.rpc),
      listen: "127.0.0.1:0",
      http: "127.0.0.1:0",
      logger: pino({ level: process.env.BERTH_TEST_LOG ?? "silent" }),
    },
    stopping.signal,
  );
  rootHome = await ContextHome.create();
  userHome = await ContextHome.create();
  await eventually("the leader issues tokens", async () => (await asRoot("token create")).code === 0);
});

afterAll(async () => {
  stopping.abort();
  await server?.stopped;
  store?.close();
  await etcd?.close();
  await rootHome?.remove();
  await userHome?.remove();
  await rm(directory, { recursive: true, force: true });
});

/** Runs a command without a context, which uses the server's socket. */
const asRoot = (line: string): Promise<BerthResult> => rootHome.berth(line, { serverSocket });

test("an invited user runs commands as the role allows, until the user is removed", async () => {
  const { out: invitation } = await asRoot("user invite alice --role viewer");
  const create = `context create lab --server ${server.address} --invitation-file -`;
  expect(await userHome.berth(create, { stdin: invitation })).toMatchObject({ code: 0, err: "" });
  expect((await userHome.berth("context use lab")).code).toBe(0);

  expect(await userHome.berth("node ls")).toMatchObject({ code: 0, err: "" });
  const denied = await userHome.berth("user ls");
  expect(denied.code).toBe(1);
  expect(denied.err).toMatch(
    /with the role viewer may not call ControlService\/ListUsers.*\n\(BERTH_PERMISSION_DENIED\)/,
  );
  expect((await asRoot("user invite alice --role admin")).code).toBe(0);
  expect((await userHome.berth("user ls -q")).out).toBe("alice\n");

  const repeated = await userHome.berth(create, { stdin: invitation });
  expect([repeated.code, repeated.err]).toEqual([2, expect.stringContaining("(BERTH_TOKEN_INVALID)")]);
  expect((await asRoot("user rm alice")).out).toBe("alice\n");
  const removed = await userHome.berth("node ls");
  expect([removed.code, removed.out]).toEqual([1, ""]);
  expect(removed.err).toMatch(/ask an administrator for an invitation.*\n\(BERTH_(UNAUTH|PERMISSION)/);
});

test("a token of the command line admits a host, which waits for approval if the token says so", async () => {
  const { out: token } = await asRoot("token create --approve --name host1");
  expect((await asRoot("token ls")).out).toMatch(/ node +host1 +1 .* required$/m);
  const identity = await IdentityDirectory.open(join(directory, "host1"));
  const options = { address: server.address, token: token.trim(), hostname: "host1", directory: identity };
  const { awaitsApproval } = await joinCluster(options, AbortSignal.timeout(30_000));
  expect(awaitsApproval).toBe(true);
  expect((await asRoot("token ls")).out).not.toContain("host1");
  expect((await asRoot("node ls")).out).toMatch(/ host1 +Down \(awaiting approval\)/);
  expect((await asRoot("node accept host1")).out).toBe("host1\n");
  expect((await asRoot("node ls -q --filter membership=pending")).out).toBe("");
});

test("a user who may not open the socket gets an error that says what to do", async () => {
  const child = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
    const env = { PATH: process.env.PATH, HOME: "/nowhere", BERTH_SERVER: `unix:${serverSocket}` };
    execFile(
      process.execPath,
      [BERTH, "node", "ls"],
      { env, uid: UNPRIVILEGED, gid: UNPRIVILEGED, cwd: "/" },
      (error, _, stderr) => resolve({ code: error?.code, stderr }),
    );
  });
  expect(child.stderr).toMatch(
    /permission denied; run berth as root, or create a context with an invitation/,
  );
  expect(child.code).toBe(1);
});
