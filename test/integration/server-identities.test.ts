import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ControlServiceService, JoinKind, UserRole } from "@berth/proto";
import {
  certificateFacts,
  formatJoinToken,
  IdentityDirectory,
  parseCertificate,
} from "@berth/proto/identity";
import {
  createRpcClient,
  joinCluster,
  RotatingIdentity,
  type RpcConnection,
  requestJoin,
} from "@berth/proto/rpc";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openServerIdentity } from "../../packages/control-plane/src/identity/server-identity.js";
import { systemRuntime } from "../../packages/control-plane/src/runtime/runtime.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import { readEtcdTls } from "../../packages/control-plane/src/store/etcd-tls.js";
import { ROOT } from "../../packages/control-plane/src/store/keys.js";
import { readAll, readOne } from "../../packages/control-plane/src/store/read.js";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { eventually } from "../harness/eventually.js";
import { type ServerProcess, startServerProcess } from "../harness/server-process.js";

type Control = RpcConnection<typeof ControlServiceService>;

const PROGRAM = fileURLToPath(new URL("../harness/server-process.mjs", import.meta.url));
const DAY_MS = 24 * 60 * 60 * 1_000;
const SCHEMA_KEY = "/berth/v1/meta/schema";

// Each test starts up to three programs.
vi.setConfig({ testTimeout: 180_000 });

let directory: string;
let cleanUps: (() => unknown)[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-server-identities-"));
  cleanUps = [() => rm(directory, { recursive: true, force: true })];
});
afterEach(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
});

const dataDirOf = (name: string): string => join(directory, name);
const socketOf = (name: string): string => join(directory, `${name}-run`, "server.sock");

/** Creates a cluster in the data directory of a server, as at this time. */
function createCluster(name: string, nowMs = Date.now()) {
  return openServerIdentity({ dataDir: dataDirOf(name), nowMs, newId: systemRuntime.newId });
}

/** Starts `berth server` with the data directory of this name. */
async function start(name: string, args: readonly string[] = []): Promise<ServerProcess> {
  const server = await startServerProcess([
    ...["--data-dir", dataDirOf(name), "--socket", socketOf(name)],
    ...args,
  ]);
  cleanUps.push(() => stop(server));
  return server;
}

async function stop({ process: child }: ServerProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}

/** Connects to a server as the administrator of its host. */
function adminOf(name: string): Control {
  const connection = createRpcClient(ControlServiceService, { socket: socketOf(name) });
  cleanUps.push(() => connection.close());
  return connection;
}

function createToken(admin: Control, kind: JoinKind): Promise<string> {
  return eventually("the leader creates a token", async () => {
    const { token } = await admin.calls.createJoinToken({
      kind,
      ttlMs: 60 * 60_000,
      uses: 1,
      hostname: "",
      requiresApproval: false,
      replaceOthers: false,
      labels: {},
    });
    return token;
  });
}

function certificateOf(name: string) {
  return parseCertificate(readFileSync(join(dataDirOf(name), "identity", "certificate.pem")));
}

/**
 * Reads a key of a server's etcd with the certificate in a directory. Uses no certificate if the directory is
 * undefined.
 */
async function readEtcd(name: string, etcdDirectory?: string): Promise<string | undefined> {
  const { ports } = JSON.parse(readFileSync(join(dataDirOf(name), "berth-server.json"), "utf8"));
  const scheme = etcdDirectory === undefined ? "http" : "https";
  const tls =
    etcdDirectory === undefined
      ? undefined
      : await readEtcdTls(
          {
            authoritiesFile: join(etcdDirectory, "authorities.pem"),
            certificateFile: join(etcdDirectory, "certificate.pem"),
            keyFile: join(etcdDirectory, "key.pem"),
          },
          Date.now(),
        );
  const endpoints = [`${scheme}://127.0.0.1:${ports.client}`] as const;
  const store = new EtcdStore({ endpoints, tls, callTimeoutMs: 2_000 });
  try {
    return (await readOne(store, SCHEMA_KEY, new AbortController().signal))?.value;
  } finally {
    store.close();
  }
}

interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `berth server` with arguments and a text as its standard input. */
async function run(args: readonly string[], stdin = ""): Promise<CommandResult> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].on("data", (chunk: Buffer) => {
      output[name] += chunk.toString();
    });
  child.stdin.end(stdin);
  await once(child, "close");
  return { code: child.exitCode, ...output };
}

/** Runs `berth server join` with a token on standard input. */
function runJoin(name: string, address: string, token: string): Promise<CommandResult> {
  return run(["join", address, "--token-file", "-", "--data-dir", dataDirOf(name)], `${token}\n`);
}

/** Starts the first server of a cluster with an external etcd. */
async function startFirst(): Promise<{
  readonly server: ServerProcess;
  readonly admin: Control;
  readonly etcd: TestEtcd;
}> {
  const etcd = await startTestEtcd();
  cleanUps.push(() => etcd.close());
  await createCluster("s1");
  return { server: await start("s1", ["--etcd", etcd.endpoint]), admin: adminOf("s1"), etcd };
}

/** Invites a user who administers the cluster, and returns the user's identity. */
async function inviteAdmin(admin: Control, address: string): Promise<RotatingIdentity> {
  const { invitation } = await admin.calls.inviteUser({
    name: "alice",
    role: UserRole.ADMIN,
    stacks: "",
    ttlMs: 60 * 60_000,
  });
  const userDirectory = await IdentityDirectory.open(join(directory, "alice"));
  const options = { address, token: invitation, hostname: "", directory: userDirectory };
  const { files } = await joinCluster(options, AbortSignal.timeout(60_000));
  return new RotatingIdentity({
    authorities: files.authorities,
    leaf: { certificate: files.certificate, key: files.key },
  });
}

function connect(address: string, identity: RotatingIdentity): Control {
  const connection = createRpcClient(ControlServiceService, { address, identity });
  cleanUps.push(() => connection.close());
  return connection;
}

describe("a server with an identity", () => {
  test("serves root on its host over the socket, and its etcd requires a certificate of etcd's CA", async () => {
    const identity = await createCluster("s1");
    await start("s1");
    const admin = adminOf("s1");
    expect(await createToken(admin, JoinKind.SERVER)).toMatch(/^berth-server-/);
    expect(await readEtcd("s1", identity.etcdPath)).toBeDefined();
    await expect(readEtcd("s1")).rejects.toMatchObject({ code: "BERTH_ETCD_UNAVAILABLE" });
    await expect(readEtcd("s1", identity.directory.path)).rejects.toMatchObject({
      code: "BERTH_ETCD_UNAVAILABLE",
    });
  });

  test("starts with certificates that have expired long ago, and without another server", async () => {
    const longAgo = Date.now() - 400 * DAY_MS;
    await createCluster("s1", longAgo);
    const expired = certificateOf("s1");
    const first = await start("s1");
    expect(certificateOf("s1").serialNumber).not.toBe(expired.serialNumber);
    expect(Date.parse(certificateOf("s1").validTo)).toBeGreaterThan(Date.now() + DAY_MS);
    await createToken(adminOf("s1"), JoinKind.SERVER);
    await stop(first);
    const renewed = certificateOf("s1").serialNumber;
    await start("s1");
    expect(certificateOf("s1").serialNumber).toBe(renewed);
    expect(existsSync(join(dataDirOf("s1"), "identity", "etcd", "certificate.pem"))).toBe(true);
  });
});

describe("berth server join", () => {
  test("adds a server that serves users, forwards to the leader, and leads after it has stopped", async () => {
    const { server, admin, etcd } = await startFirst();
    const token = await createToken(admin, JoinKind.SERVER);
    const joined = await runJoin("s2", server.address, token);
    expect(joined).toMatchObject({ code: 0, stdout: expect.stringContaining("berth server --listen") });

    const second = await start("s2", ["--etcd", etcd.endpoint]);
    const alice = await inviteAdmin(admin, server.address);
    const calls = await eventually("the second server forwards a call to the leader", async () => {
      const { calls } = connect(second.address, alice);
      const { leaderAddress } = await calls.getCluster({});
      return leaderAddress === server.address && calls;
    });
    expect((await calls.listUsers({})).users.map(({ name }) => name)).toEqual(["alice"]);

    await stop(server);
    await eventually("the second server leads, and issues certificates", async () => {
      const { leaderAddress } = await calls.getCluster({});
      await createToken(adminOf("s2"), JoinKind.NODE);
      return leaderAddress === second.address;
    });
    await expect(runJoin("s3", second.address, token)).resolves.toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/rejected the join token/),
    });
  });

  test("gives the secrets of the cluster to servers only, and leaves no trace of them", async () => {
    const { server, admin, etcd } = await startFirst();
    const nodeDirectory = await IdentityDirectory.open(join(directory, "node"));
    const options = { address: server.address, hostname: "node1", directory: nodeDirectory };
    const token = await createToken(admin, JoinKind.NODE);
    const response = await eventually("the leader admits the node", () =>
      requestJoin({ ...options, token }, AbortSignal.timeout(60_000)),
    );
    expect(response.certificate).not.toBe("");
    expect(response.server).toBeUndefined();

    const joined = await runJoin("s2", server.address, await createToken(admin, JoinKind.SERVER));
    const key = readFileSync(join(dataDirOf("s2"), "identity", "cluster.key"), "utf8").trim();
    expect(key).toBe(readFileSync(join(dataDirOf("s1"), "identity", "cluster.key"), "utf8").trim());
    const store = new EtcdStore({ endpoints: [etcd.endpoint] });
    const { entries } = await readAll(store, { prefix: ROOT }, AbortSignal.timeout(60_000));
    store.close();
    const all = JSON.stringify([entries.map(({ value }) => value), joined]);
    // The audit log has the calls that joined.
    expect(all).toContain("joined with token");
    for (const encoding of ["hex", "base64", "latin1"] as const)
      expect(all).not.toContain(Buffer.from(key, "hex").toString(encoding));
  });

  test("berth server join can be repeated after it was interrupted, and the server does not start meanwhile", async () => {
    const { server, admin, etcd } = await startFirst();
    const token = await createToken(admin, JoinKind.SERVER);
    await admin.calls.removeJoinToken({ token: (await admin.calls.listJoinTokens({})).tokens[0]?.id ?? "" });
    expect(await runJoin("s2", server.address, token)).toMatchObject({ code: 2 });
    const args = ["--data-dir", dataDirOf("s2"), "--socket", socketOf("s2"), "--etcd", etcd.endpoint];
    expect(await run(args)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("has not finished joining"),
    });
    const next = await createToken(admin, JoinKind.SERVER);
    expect(await runJoin("s2", server.address, next)).toMatchObject({ code: 0 });
    await start("s2", ["--etcd", etcd.endpoint]);
  });

  test("repeats a join whose response was lost with the same token, as the same server", async () => {
    const { server, admin } = await startFirst();
    const token = await createToken(admin, JoinKind.SERVER);
    const options = { address: server.address, token, hostname: "s2" };
    // A command that is killed after the response leaves only its key.
    const identityDirectory = await IdentityDirectory.open(join(dataDirOf("s2"), "identity"));
    const { certificate } = await requestJoin(
      { ...options, directory: identityDirectory },
      AbortSignal.timeout(60_000),
    );
    const { identity } = certificateFacts(parseCertificate(certificate));
    if (identity.kind !== "server") throw new Error(`a certificate for a ${identity.kind}`);
    expect(await runJoin("s2", server.address, token)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`as server ${identity.id}.`),
    });
    expect(await runJoin("s3", server.address, token)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("it has no uses left"),
    });
  });

  test("refuses the token of a node, and a data directory that is in use or has an identity", async () => {
    const identity = await createCluster("s1");
    const fingerprint = identity.firstAuthority?.fingerprint ?? "";
    const token = (kind: JoinKind): string => formatJoinToken(kind, fingerprint, Buffer.alloc(16));
    const unreachable = "127.0.0.1:1";
    expect(await runJoin("s2", unreachable, token(JoinKind.NODE))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--role server"),
    });
    expect(await runJoin("s1", unreachable, token(JoinKind.SERVER))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("already in a cluster"),
    });
    await startServerProcess(["--data-dir", dataDirOf("s3")]).then((running) =>
      cleanUps.push(() => stop(running)),
    );
    expect(await runJoin("s3", unreachable, token(JoinKind.SERVER))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("in use by process"),
    });
  });

  test("adds a member to the embedded etcd when the server starts", async () => {
    await createCluster("s1");
    // The ports of members are fixed, so each process has its own loopback addresses.
    const [firstHost, secondHost] = [2, 3].map(
      (network) => `127.${network}.${(process.pid >> 8) & 0xff}.${process.pid & 0xff}`,
    );
    const first = await start("s1", ["--listen", `${firstHost}:7400`]);
    const token = await createToken(adminOf("s1"), JoinKind.SERVER);
    expect(await runJoin("s2", first.address, token)).toMatchObject({ code: 0 });
    const second = await start("s2", ["--listen", `${secondHost}:7400`]);
    const { calls } = adminOf("s2");
    const { leaderAddress } = await eventually("the second server knows both servers", async () => {
      const cluster = await calls.getCluster({});
      return cluster.servers.length === 2 && cluster;
    });
    expect([leaderAddress, second.address]).toEqual([first.address, `${secondHost}:7400`]);
    const members = (): unknown =>
      JSON.parse(readFileSync(join(dataDirOf("s2"), "berth-server.json"), "utf8")).members.sort();
    await expect.poll(members).toEqual([firstHost, secondHost]);
  });
});
