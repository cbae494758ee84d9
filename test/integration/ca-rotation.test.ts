import { setTimeout as delay } from "node:timers/promises";
import {
  Authority_State as AuthorityState,
  ControlServiceService,
  JoinKind,
  StreamAuditRequest,
  StreamEventsRequest,
  UserRole,
} from "@berth/proto";
import { certificateFacts, IdentityDirectory, parseCertificate, readTrust } from "@berth/proto/identity";
import {
  createRpcClient,
  grpcTransport,
  joinCluster,
  RotatingIdentity,
  type RpcIdentity,
  tlsMaterialOf,
} from "@berth/proto/rpc";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  CertificateRenewal,
  renewIfUntrusted,
} from "../../packages/agent/src/identity/certificate-renewal.js";
import { type HostIdentity, openHostIdentity } from "../../packages/agent/src/identity/host-identity.js";
import { eventually } from "../harness/eventually.js";
import type { FakeAgent } from "../harness/fake-agent/fake-agent.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { converged, deployment, service, type TestServer } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const TTL_MS = 60 * 60_000;
/** An authority is announced for five seconds, and the machine may be busy. */
const ROTATION_TIMEOUT_MS = 60_000;
const log = pino({ level: "silent" });

const context = useTestCluster();

let stopping: AbortController;
let cleanUps: (() => unknown)[];

beforeEach(() => {
  stopping = new AbortController();
  cleanUps = [];
});

afterEach(async () => {
  stopping.abort();
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** A host with the agent's renewal of its certificate, and an agent without Docker. */
interface TestHost {
  readonly identity: HostIdentity;
  start(): FakeAgent;
}

async function createHost(nodeId: string): Promise<TestHost> {
  const dataDir = temporaryDirectory();
  await context.cluster.admitAgent(nodeId, dataDir);
  const identity = await openHostIdentity(dataDir);
  if (identity === undefined) throw new Error("the host has no identity");
  const start = (): FakeAgent => {
    const servers = (): readonly string[] => context.cluster.servers.map(({ address }) => address);
    const transport = grpcTransport(identity.rpc);
    const renewal = new CertificateRenewal({ identity, transport, servers, log }).run(stopping.signal);
    cleanUps.push(() => renewal);
    return context.cluster.startAgent(nodeId, {
      identity: async () => identity.rpc,
      onAuthorities: (message) =>
        renewIfUntrusted(identity, message, { nowMs: Date.now(), random: Math.random() }),
    });
  };
  return { identity, start };
}

/** Joins with a token. The identity does not change later, like that of a computer that is off. */
async function joinWith(server: TestServer, token: string, hostname: string): Promise<RotatingIdentity> {
  const directory = await IdentityDirectory.open(temporaryDirectory());
  const options = { address: server.address, token, hostname, directory };
  const { files } = await joinCluster(options, AbortSignal.timeout(30_000));
  return new RotatingIdentity(tlsMaterialOf(files));
}

async function createToken({ calls }: TestServer): Promise<string> {
  const request = {
    kind: JoinKind.NODE,
    ttlMs: TTL_MS,
    uses: 5,
    hostname: "",
    requiresApproval: false,
    labels: {},
  };
  return (await calls.createJoinToken({ ...request, replaceOthers: false })).token;
}

async function inviteUser({ calls }: TestServer, name: string): Promise<string> {
  const request = { name, role: UserRole.ADMIN, stacks: "", ttlMs: TTL_MS };
  return (await calls.inviteUser(request)).invitation;
}

function connect(server: TestServer, identity: RpcIdentity) {
  const client = createRpcClient(ControlServiceService, { address: server.address, identity });
  cleanUps.push(() => client.close());
  return client;
}

/** Rotates the authority, and waits until all connected nodes have a certificate of the new one. Returns both. */
async function rotate({ calls }: TestServer): Promise<{ readonly earlier: string; readonly next: string }> {
  const { authorities } = await calls.listAuthorities({});
  const earlier = authorities.find(({ state }) => state === AuthorityState.ISSUING)?.fingerprint ?? "";
  const { fingerprint: next } = await calls.rotateAuthority({});
  await rotated(calls, next);
  return { earlier, next };
}

async function rotated(calls: TestServer["calls"], fingerprint: string): Promise<void> {
  await eventually(
    "all connected nodes have certificates of the new authority",
    async () => {
      const list = await calls.listAuthorities({});
      const authority = list.authorities.find((each) => each.fingerprint === fingerprint);
      return authority?.state === AuthorityState.ISSUING && list.readyNodesRenewed === list.readyNodes;
    },
    ROTATION_TIMEOUT_MS,
  );
}

/** Returns the fingerprint of the authority that has issued a certificate. */
function issuerOf({ current: { authorities, leaf } }: RpcIdentity): string | undefined {
  const x509 = parseCertificate(leaf?.certificate ?? "");
  return readTrust(authorities).authorities.find((each) => x509.checkIssued(each.x509))?.fingerprint;
}

/** Makes calls with new connections to all servers, and with open ones, until `stop`. Returns the failures. */
function callContinuously(servers: readonly TestServer[], identity: RpcIdentity) {
  const failures: unknown[] = [];
  let count = 0;
  let isStopped = false;
  const running = servers.map(async (server) => {
    const open = connect(server, identity);
    while (!isStopped) {
      const fresh = createRpcClient(ControlServiceService, { address: server.address, identity });
      for (const { calls } of [fresh, open]) {
        count += 1;
        await calls.listNodes({}).catch((error: unknown) => failures.push(error));
      }
      fresh.close();
      await delay(10);
    }
  });
  return {
    stop: async () => {
      isStopped = true;
      await Promise.all(running);
      return { failures, count };
    },
  };
}

test("a rotation with two servers fails no call, ends no session, and leaves out no host", async () => {
  const first = await context.cluster.startServer();
  const second = await context.cluster.startServer();
  const servers = [first, second];
  await eventually("a leader answers", () => first.calls.getCluster({}));
  const token = await eventually("the leader has an authority", () => createToken(first).catch(() => ""));
  const user = await joinWith(first, await inviteUser(first, "alice"), "");
  const hosts = await Promise.all(["n1", "n2", "n3", "n4"].map(createHost));
  const off = await createHost("off");
  const agents = hosts.map((host) => host.start());
  for (const agent of agents) await eventually("the agent is connected", () => agent.completeSets > 0);
  await first.calls.deployStack(deployment([service("web", { replicas: 2 })]));
  await converged(first.calls, "shop_web");

  const stacks: string[] = [];
  let watchFailure: unknown;
  const follow = StreamEventsRequest.fromPartial({ follow: true });
  const watching = new AbortController();
  const watch = (async () => {
    for await (const { message } of connect(second, user).calls.streamEvents(follow, {
      signal: watching.signal,
    }))
      if (message?.$case === "event") stacks.push(message.value.stack);
  })().catch((error: unknown) => {
    if (!watching.signal.aborted) watchFailure = error;
  });
  const load = callContinuously(servers, user);
  const { earlier, next } = await rotate(first);
  await first.calls.deployStack(deployment([service("web", { replicas: 2, image: "web:2" })]));
  await converged(first.calls, "shop_web");
  stacks.length = 0;
  await first.calls.deployStack(deployment([service("api")]));
  await eventually("the watch shows a deployment after the rotation", () => stacks.includes("shop"));
  const { failures, count } = await load.stop();
  watching.abort();
  await watch;

  expect(failures).toEqual([]);
  expect(count).toBeGreaterThan(100);
  expect(watchFailure).toBeUndefined();
  expect(agents.flatMap(({ sessionErrors }) => sessionErrors)).toEqual([]);
  expect(hosts.map(({ identity }) => issuerOf(identity.rpc))).toEqual(hosts.map(() => next));
  // The leader tells each agent about the authority again when it reconnects. An agent that has renewed ignores it.
  const serials = hosts.map(({ identity }) => serialOf(identity.rpc));
  for (const agent of agents) agent.reconnect();
  for (const agent of agents) await eventually("the agent is connected again", () => agent.completeSets > 1);
  await delay(500);
  expect(hosts.map(({ identity }) => serialOf(identity.rpc))).toEqual(serials);

  // A host that was off throughout comes back, and gets a certificate of the new authority.
  expect(issuerOf(off.identity.rpc)).toBe(earlier);
  const returned = off.start();
  await eventually("the host is connected", () => returned.completeSets > 0);
  await eventually("the host has renewed", () => issuerOf(off.identity.rpc) === next);
  expect(readTrust(off.identity.rpc.current.authorities).authorities).toHaveLength(2);

  // The user's computer only knows the earlier authority, and tokens of both can be used on each server.
  expect(issuerOf(user)).toBe(earlier);
  for (const server of servers) {
    expect(readTrust(user.current.authorities).authorities).toHaveLength(1);
    await connect(server, user).calls.listNodes({});
    expect(issuerOf(await joinWith(server, token, "with-old-token"))).toBe(next);
    expect(issuerOf(await joinWith(server, await createToken(first), "with-new-token"))).toBe(next);
  }
}, 180_000);

test("the next leader continues a rotation, and a forced removal locks out certificates of the earlier authority", async () => {
  const first = await context.cluster.startServer();
  await eventually("the first server leads", () => first.calls.getCluster({}));
  const second = await context.cluster.startServer();
  await eventually("the leader has an authority", () => createToken(first).catch(() => ""));
  const user = await joinWith(first, await inviteUser(first, "alice"), "");
  const host = await createHost("n1");
  const agent = host.start();
  await eventually("the agent is connected", () => agent.completeSets > 0);
  const earlier = issuerOf(user) ?? "";

  const { fingerprint: next } = await first.calls.rotateAuthority({});
  await expect(first.calls.rotateAuthority({})).rejects.toMatchObject({ code: "BERTH_CONFLICT" });
  await first.stop();
  await eventually("the second server leads", () => second.calls.getCluster({}));
  await eventually("the agent is connected to the second server", () => agent.completeSets > 1);
  await rotated(second.calls, next);
  await eventually("the host has renewed", () => issuerOf(host.identity.rpc) === next);

  const remove = (authority: string, force: boolean) => second.calls.removeAuthority({ authority, force });
  await expect(remove(next, true)).rejects.toMatchObject({ code: "BERTH_AUTHORITY_IN_USE" });
  const message = expect.stringContaining("--force, the cluster locks out no node; users who");
  await expect(remove(earlier, false)).rejects.toMatchObject({ code: "BERTH_AUTHORITY_IN_USE", message });
  await connect(second, user).calls.listNodes({});
  const sets = agent.completeSets;
  await remove(earlier.slice(0, 12), true);
  await eventually("the server rejects the user", async () => {
    const error = await connect(second, user)
      .calls.listNodes({})
      .catch((reason: unknown) => reason);
    return error instanceof Error;
  });
  await eventually("the agent does not trust the removed authority any more", () => {
    const { authorities } = readTrust(host.identity.rpc.current.authorities);
    return authorities.every(({ fingerprint }) => fingerprint === next);
  });
  // The agent's session had the certificate of the earlier authority. The agent opens another one.
  await eventually("the agent is connected again", () => agent.completeSets > sets);
  expect(await auditedMethods(second)).toEqual(
    expect.arrayContaining(["RotateAuthority", "RemoveAuthority"]),
  );
}, 180_000);

function serialOf({ current }: RpcIdentity): string {
  return certificateFacts(parseCertificate(current.leaf?.certificate ?? "")).serial;
}

async function auditedMethods({ calls }: TestServer): Promise<readonly string[]> {
  const methods: string[] = [];
  for await (const { message } of calls.streamAudit(StreamAuditRequest.fromPartial({})))
    if (message?.$case === "record") methods.push(message.value.method);
  return methods;
}
