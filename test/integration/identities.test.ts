import { chmod, lstat, mkdir, mkdtemp, open, readFile, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AuditRecord_Kind,
  ControlServiceService,
  DispatcherServiceService,
  Hello,
  JoinKind,
  PROTOCOL_FIELDS,
  type SessionRequest,
  UserRole,
} from "@berth/proto";
import {
  certificateFacts,
  createRequest,
  IdentityDirectory,
  type IdentityFiles,
  parseCertificate,
} from "@berth/proto/identity";
import {
  createRpcClient,
  joinCluster,
  RotatingIdentity,
  type RpcClientOptions,
  type RpcConnection,
} from "@berth/proto/rpc";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openServerIdentity } from "../../packages/control-plane/src/identity/server-identity.js";
import { systemRuntime } from "../../packages/control-plane/src/runtime/runtime.js";
import { type RunningServer, startServer } from "../../packages/control-plane/src/server/server.js";
import { systemPlatform } from "../../packages/control-plane/src/server/server-platform.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { eventually } from "../harness/eventually.js";

type Control = RpcConnection<typeof ControlServiceService>;

const TTL_MS = 60 * 60_000;
const signal = AbortSignal.timeout(120_000);

let directory: string;
let etcd: TestEtcd;
let store: EtcdStore;
let server: RunningServer;
let admin: Control;
const stopping = new AbortController();
const connections: { close(): void }[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-identities-"));
  etcd = await startTestEtcd();
  store = new EtcdStore({ endpoints: [etcd.endpoint] });
  const identity = await openServerIdentity({
    dataDir: join(directory, "server"),
    nowMs: Date.now(),
    newId: systemRuntime.newId,
  });
  const socket = join(directory, "server.sock");
  server = await startServer(
    {
      store,
      identity,
      socket,
      runtime: systemRuntime,
      advertise: undefined,
      platform: systemPlatform(identity.rpc),
      listen: "127.0.0.1:0",
      http: "127.0.0.1:0",
      logger: pino({ level: process.env.BERTH_TEST_LOG ?? "silent" }),
    },
    stopping.signal,
  );
  admin = connect({ socket });
  await eventually("the leader has an authority", () =>
    createToken().then(
      () => true,
      () => false,
    ),
  );
});

afterAll(async () => {
  for (const connection of connections) connection.close();
  stopping.abort();
  await server?.stopped;
  store?.close();
  await etcd?.close();
  await rm(directory, { recursive: true, force: true });
});

function connect(options: RpcClientOptions): Control {
  const connection = createRpcClient(ControlServiceService, options);
  connections.push(connection);
  return connection;
}

function connectAs({ authorities, certificate, key }: IdentityFiles): Control {
  const identity = new RotatingIdentity({ authorities, leaf: { certificate, key } });
  return connect({ address: server.address, identity });
}

async function createToken(over: { uses?: number; requiresApproval?: boolean; hostname?: string } = {}) {
  const { token } = await admin.calls.createJoinToken({
    kind: JoinKind.NODE,
    ttlMs: TTL_MS,
    uses: 1,
    hostname: "",
    requiresApproval: false,
    labels: {},
    replaceOthers: false,
    ...over,
  });
  return token;
}

async function joinWith(token: string, name: string) {
  const identityDirectory = await IdentityDirectory.open(join(directory, name));
  return joinCluster(
    { address: server.address, token, hostname: name, directory: identityDirectory },
    signal,
  );
}

/** Opens a directory like that of a process that is killed before it stores a certificate. Its key stays. */
async function crashingDirectory(name: string): Promise<IdentityDirectory> {
  const crashingOpen: typeof open = (path, ...rest) =>
    String(path).includes("certificate.pem") ? Promise.reject(new Error("killed")) : open(path, ...rest);
  const files = { chmod, lstat, mkdir, open: crashingOpen, readFile, rename, rm };
  return IdentityDirectory.open(join(directory, name), files);
}

async function userWith(name: string, role: UserRole): Promise<Control> {
  const { invitation } = await admin.calls.inviteUser({ name, role, stacks: "", ttlMs: TTL_MS });
  const { files } = await joinWith(invitation, name);
  return connectAs(files);
}

/** Opens a session as a node, and returns the code of the error that ends it; "welcome" when it is served. */
async function sessionOutcome(files: IdentityFiles, hostname: string, nodeId = ""): Promise<string> {
  const identity = new RotatingIdentity({
    authorities: files.authorities,
    leaf: { certificate: files.certificate, key: files.key },
  });
  const connection = createRpcClient(DispatcherServiceService, { address: server.address, identity });
  const value = Hello.fromPartial({
    nodeId: nodeId || (await nodeIdOf(hostname)),
    ...PROTOCOL_FIELDS,
    bootId: "boot",
    description: { hostname, address: `127.0.0.${hostname.slice("host".length)}` },
  });
  async function* requests(): AsyncGenerator<SessionRequest> {
    yield { message: { $case: "hello", value } };
    await new Promise(() => {});
  }
  try {
    for await (const { message } of connection.calls.session(requests())) {
      if (message?.$case === "welcome") return "welcome";
    }
    return "ended";
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  } finally {
    connection.close();
  }
}

async function nodeIdOf(hostname: string): Promise<string> {
  const { nodes } = await admin.calls.listNodes({});
  return nodes.find(({ node }) => node?.description?.hostname === hostname)?.node?.id ?? "";
}

describe("a host with a join token", () => {
  test("gets a certificate with which its agent is served, and the token is used up", async () => {
    const token = await createToken();
    const { files, servers } = await joinWith(token, "host1");
    expect(servers).toEqual([server.address]);
    expect(await sessionOutcome(files, "host1")).toBe("welcome");
    expect(await sessionOutcome(files, "host1", "another-node")).toBe("BERTH_PERMISSION_DENIED");
    await expect(joinWith(token, "host2")).rejects.toMatchObject({
      code: "BERTH_TOKEN_INVALID",
      details: { reason: "used-up" },
    });
  });

  test("repeats its request after it was killed before it had stored the certificate", async () => {
    const token = await createToken();
    const before = (await admin.calls.listNodes({})).nodes.length;
    await expect(
      joinCluster(
        { address: server.address, token, hostname: "host8", directory: await crashingDirectory("host8") },
        signal,
      ),
    ).rejects.toThrow("killed");
    const first = await nodeIdOf("host8");
    const { files } = await joinWith(token, "host8");
    expect(certificateFacts(parseCertificate(files.certificate)).identity).toEqual({
      kind: "node",
      id: first,
    });
    expect((await admin.calls.listNodes({})).nodes).toHaveLength(before + 1);
    expect(await sessionOutcome(files, "host8")).toBe("welcome");
    await expect(joinWith(token, "host9")).rejects.toMatchObject({ details: { reason: "used-up" } });
  });

  test("keeps the token when its certificate request is invalid", async () => {
    const token = await createToken();
    const { files } = await joinWith(await createToken(), "host3");
    const anonymous = new RotatingIdentity({ authorities: files.authorities, leaf: undefined });
    const client = createRpcClient(ControlServiceService, { address: server.address, identity: anonymous });
    connections.push(client);
    await expect(
      client.calls.join({ token, certificateRequest: "x", hostname: "host4" }),
    ).rejects.toMatchObject({ code: "BERTH_INPUT_INVALID" });
    await expect(client.calls.listNodes({})).rejects.toMatchObject({ code: "BERTH_UNAUTHENTICATED" });
    await expect(
      client.calls.join({ token, certificateRequest: "", hostname: "x".repeat(10_000) }),
    ).rejects.toMatchObject({ code: "BERTH_LIMIT_EXCEEDED" });
    await joinWith(token, "host4");
  });

  test("waits for approval when the token requires it", async () => {
    const { files, awaitsApproval } = await joinWith(await createToken({ requiresApproval: true }), "host5");
    expect(awaitsApproval).toBe(true);
    expect(await sessionOutcome(files, "host5")).toBe("BERTH_NODE_NOT_ACCEPTED");
    await admin.calls.acceptNode({ node: "host5" });
    expect(await sessionOutcome(files, "host5")).toBe("welcome");
  });

  test("loses its session and its access for good when the node is removed", async () => {
    const { files } = await joinWith(await createToken(), "host6");
    const id = await nodeIdOf("host6");
    expect(await sessionOutcome(files, "host6")).toBe("welcome");
    await admin.calls.removeNode({ node: id, force: true });
    expect(await sessionOutcome(files, "host6", id)).toBe("BERTH_UNAUTHENTICATED");
    const request = { certificateRequest: await createRequest(files.key) };
    await expect(connectAs(files).calls.renewCertificate(request)).rejects.toMatchObject({
      code: "BERTH_UNAUTHENTICATED",
    });
  });

  test("renews its certificate with its certificate", async () => {
    const { files } = await joinWith(await createToken(), "host7");
    const identityDirectory = await IdentityDirectory.open(join(directory, "host7"));
    const certificateRequest = await createRequest(await identityDirectory.prepareKey());
    const renewed = await connectAs(files).calls.renewCertificate({ certificateRequest });
    const next = await identityDirectory.store(renewed);
    expect(next.certificate).not.toBe(files.certificate);
    expect(await sessionOutcome(next, "host7")).toBe("welcome");
  });
});

/** Returns the records of refused calls as "caller method code", without the suffix of a user's certificate. */
async function refusals(): Promise<readonly string[]> {
  const found: string[] = [];
  const request = { afterSequence: 0, sinceMs: 0, limit: 0, follow: false };
  for await (const { message } of admin.calls.streamAudit(request)) {
    if (message?.$case !== "record" || message.value.kind !== AuditRecord_Kind.REFUSED) continue;
    const { caller, method, errorCode } = message.value;
    found.push(`${caller} ${method} ${errorCode}`);
  }
  return found;
}

describe("the audit log", () => {
  test("has the calls that a role, a node ID or the end of a membership refuses", async () => {
    const { files } = await joinWith(await createToken(), "host10");
    const id = await nodeIdOf("host10");
    const node = connectAs(files);
    const viewer = await userWith("victor", UserRole.VIEWER);
    await expect(viewer.calls.listUsers({})).rejects.toMatchObject({ code: "BERTH_PERMISSION_DENIED" });
    await expect(node.calls.listServices({ stack: "" })).rejects.toMatchObject({
      code: "BERTH_PERMISSION_DENIED",
    });
    expect(await sessionOutcome(files, "host10", "another-node")).toBe("BERTH_PERMISSION_DENIED");
    await admin.calls.removeNode({ node: id, force: true });
    expect(await sessionOutcome(files, "host10", id)).toBe("BERTH_UNAUTHENTICATED");
    const expected = [
      expect.stringMatching(/^user "victor.*" ListUsers BERTH_PERMISSION_DENIED$/),
      `node "${id}" ListServices BERTH_PERMISSION_DENIED`,
      `node "${id}" Session BERTH_PERMISSION_DENIED`,
      `node "${id}" Session BERTH_UNAUTHENTICATED`,
    ];
    await eventually(
      "the calls are recorded",
      async () => (await refusals()).filter((line) => line.includes(id)).length === 3,
      30_000,
    );
    expect(await refusals()).toEqual(expect.arrayContaining(expected));
  });
});

describe("a user", () => {
  test("a user may do what the role says, from the next call after a change", async () => {
    const viewer = await userWith("vera", UserRole.VIEWER);
    expect((await viewer.calls.listNodes({})).nodes.length).toBeGreaterThan(0);
    await expect(viewer.calls.listUsers({})).rejects.toMatchObject({ code: "BERTH_PERMISSION_DENIED" });
    await admin.calls.inviteUser({ name: "vera", role: UserRole.ADMIN, stacks: "", ttlMs: TTL_MS });
    expect((await viewer.calls.listUsers({})).users.map(({ name }) => name)).toContain("vera");
  });

  test("a removed user can do nothing any more, although another user has got the name", async () => {
    const deployer = await userWith("dora", UserRole.DEPLOYER);
    await deployer.calls.listNodes({});
    await admin.calls.removeUser({ name: "dora" });
    await userWith("dora", UserRole.ADMIN);
    await expect(deployer.calls.listNodes({})).rejects.toMatchObject({ code: /UNAUTHENTICATED|DENIED/ });
  });
});
