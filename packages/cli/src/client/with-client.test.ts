import { once } from "node:events";
import { readFile, utimes, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { BerthError, ServerStatus } from "@berth/proto";
import { IdentityDirectory } from "@berth/proto/identity";
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { ContextHome } from "../testing/context-home.js";
import { type FakeControlHandlers, readyNode, startFakeControl } from "../testing/fake-control.js";
import { FakeTlsCluster, FRESH, type ValidityDays } from "../testing/fake-tls-control.js";
import { loadContextIdentity } from "./context-identity.js";

const ALICE = "alice.x1y2z3";
const DUE: ValidityDays = { from: -20, until: 10 };
const IN_GRACE: ValidityDays = { from: -40, until: -10 };
const TOO_OLD: ValidityDays = { from: -90, until: -60 };

let cluster: FakeTlsCluster;
let home: ContextHome;
let callers: string[];
let renewals: number;
const cleanUps: (() => Promise<unknown>)[] = [];

// Loading the library for certificates takes seconds on a busy machine.
beforeAll(async () => {
  cluster = await FakeTlsCluster.create();
}, 60_000);

beforeEach(async () => {
  home = await ContextHome.create();
  cleanUps.push(() => home.remove());
  callers = [];
  renewals = 0;
  cluster.roles = ["admin"];
});

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const handlers: FakeControlHandlers = {
  listNodes: async (_, { caller }) => {
    callers.push(caller.kind === "user" ? caller.name : caller.kind);
    return { nodes: [readyNode()] };
  },
  renewCertificate: async ({ certificateRequest }) => {
    renewals += 1;
    const certificate = await cluster.certify(certificateRequest, { kind: "user", name: ALICE });
    return { certificate, authorities: cluster.authority.certificate };
  },
};

/** Starts a server with TLS, and saves a context with a certificate for it. */
async function useContext(
  validity = FRESH,
  { over = {}, server = FRESH }: { over?: FakeControlHandlers; server?: ValidityDays } = {},
): Promise<string> {
  const { address, close } = await cluster.start({ ...handlers, ...over }, server);
  cleanUps.push(close);
  await cluster.store(home.identityDirectory("lab-1"), ALICE, validity);
  await home.save("lab", { server: address, identity: "lab-1" });
  return address;
}

const storedCertificate = (): Promise<string> =>
  readFile(join(home.identityDirectory("lab-1"), "certificate.pem"), "utf8");

describe("a context with an identity", () => {
  test("connects with TLS as its user", async () => {
    await useContext();
    expect(await home.berth("node ls -q")).toEqual({ code: 0, out: "node1\n", err: "" });
    expect(callers).toEqual([ALICE]);
  });

  test("a context with an identity is used for --server and BERTH_SERVER, and for several servers", async () => {
    const address = await useContext();
    await home.save("lab", { server: "127.0.0.1:1", identity: "lab-1" });
    expect((await home.berth(`--server ${address} node ls -q`)).out).toBe("node1\n");
    expect((await home.berth("node ls -q", { env: { BERTH_SERVER: address } })).out).toBe("node1\n");
    expect((await home.berth(`--server 127.0.0.1:1,${address} node ls -q`)).out).toBe("node1\n");
    expect(callers).toEqual([ALICE, ALICE, ALICE]);
  });

  test("a context with an identity is not used for a Unix socket", async () => {
    await useContext();
    const socket = await startFakeControl(handlers);
    cleanUps.push(socket.close);
    expect((await home.berth(`--server ${socket.address} node ls -q`)).out).toBe("node1\n");
    expect(callers).toEqual(["root"]);
  });
});

describe("the servers of a context", () => {
  const DEAD = "127.0.0.1:1";
  const listing =
    (...addresses: readonly string[]): FakeControlHandlers["listServers"] =>
    async () => ({
      servers: addresses.map((address) => ServerStatus.fromPartial({ server: { address } })),
      voters: 1,
      runningVoters: 1,
    });

  async function savedServers(): Promise<string> {
    return JSON.parse(await readFile(home.configFile, "utf8")).contexts.lab.server;
  }

  test("a context drops a server that the cluster has removed, and gets one that has joined, after the removed one did not answer", async () => {
    let address = "";
    const listServers: FakeControlHandlers["listServers"] = (...call) =>
      (listing(address, "10.0.0.9:7400") as NonNullable<FakeControlHandlers["listServers"]>)(...call);
    address = await useContext(FRESH, { over: { listServers } });
    const server = `${DEAD},${address}`;
    await home.save("lab", { server, identity: "lab-1", listed: server });
    expect((await home.berth("node ls -q")).out).toBe("node1\n");
    await vi.waitUntil(async () => (await savedServers()) === `${address},10.0.0.9:7400`, {
      timeout: 10_000,
    });
  });

  test.each([
    ["the first one answers", (address: string) => `${address},${DEAD}`, "node ls -q"],
    ["--server selects others", (address: string) => `${DEAD},${address}`, "--server S node ls -q"],
  ])("a context keeps its servers while %s", async (_, serversOf, line) => {
    let asked = 0;
    const listServers: FakeControlHandlers["listServers"] = async () => {
      asked += 1;
      return { servers: [], voters: 0, runningVoters: 0 };
    };
    const address = await useContext(FRESH, { over: { listServers } });
    const server = serversOf(address);
    await home.save("lab", { server, identity: "lab-1", listed: server });
    expect((await home.berth(line.replace("S", `127.0.0.1:2,${address}`))).out).toBe("node1\n");
    expect([asked, await savedServers()]).toEqual([0, server]);
  });
});

describe("without a context", () => {
  test("a command uses the socket of a server on this host", async () => {
    const { address, close } = await startFakeControl(handlers);
    cleanUps.push(close);
    const serverSocket = address.replace("unix:", "");
    expect((await home.berth("node ls -q", { serverSocket })).out).toBe("node1\n");
    expect((await home.berth("context ls", { serverSocket })).out).toContain(`unix:${serverSocket}`);
    expect(callers).toEqual(["root"]);
  });

  test("a command without a server on this host says how to use another one", async () => {
    const { code, err } = await home.berth("node ls");
    expect(code).toBe(3);
    expect(err).toContain("cannot connect to the berth server at unix:/nowhere/server.sock: ");
    expect(err).toContain("; from another host, create a context with an invitation");
  });
});

describe("a server that needs an identity", () => {
  /** Counts connections. */
  async function listen(): Promise<{ readonly address: string; readonly accepted: () => number }> {
    let accepted = 0;
    const server = createServer((socket) => {
      accepted += 1;
      socket.destroy();
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanUps.push(async () => void server.close());
    return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, accepted: () => accepted };
  }

  test.each([
    ["--server", (address: string) => home.berth(`--server ${address} node ls`)],
    ["BERTH_SERVER", (address: string) => home.berth("node ls", { env: { BERTH_SERVER: address } })],
    ["one of several servers", (address: string) => home.berth(`--server unix:/x,${address} node ls`)],
  ])("a server that needs an identity is not connected to without one: %s", async (_, run) => {
    const { address, accepted } = await listen();
    const { code, out, err } = await run(address);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(
      /^error: cannot connect to .* without an identity, and context "default" has none: ask/,
    );
    expect(err).toContain(`${address} --invitation-file -"; on the host of a server, root can use its Unix`);
    expect(err).toContain("berth context create NAME --server ");
    expect(err).toContain("(BERTH_UNAUTHENTICATED)");
    expect(accepted()).toBe(0);
  });

  test("a context without an identity does not connect to a server that needs one", async () => {
    const { address, accepted } = await listen();
    await home.save("lab", { server: address });
    const { code, err } = await home.berth("node ls");
    expect(code).toBe(1);
    expect(err).toContain(`context "lab" has none: ask`);
    expect(err).toContain(`berth context create lab --server ${address} --invitation-file -`);
    expect(accepted()).toBe(0);
  });
});

describe("renewal of the certificate", () => {
  test("follows a successful command in the background when half of the validity is over", async () => {
    let release = (): void => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const slowRenewal: FakeControlHandlers["renewCertificate"] = async (request, context) => {
      await released;
      return (handlers.renewCertificate as NonNullable<typeof handlers.renewCertificate>)(request, context);
    };
    await useContext(DUE, { over: { renewCertificate: slowRenewal } });
    const old = await storedCertificate();
    expect(await home.berth("node ls -q")).toEqual({ code: 0, out: "node1\n", err: "" });
    expect(await storedCertificate()).toBe(old);
    release();
    await vi.waitUntil(async () => (await storedCertificate()) !== old, { timeout: 10_000 });
    expect((await home.berth("node ls -q")).code).toBe(0);
    expect(renewals).toBe(1);
  });

  test("does not fail the command, and is repeated by the next one", async () => {
    let asked = 0;
    const renewCertificate: FakeControlHandlers["renewCertificate"] = async () => {
      asked += 1;
      throw new BerthError({ code: "BERTH_NO_LEADER", message: "electing" });
    };
    await useContext(DUE, { over: { renewCertificate } });
    for (const count of [1, 2]) {
      expect(await home.berth("node ls -q")).toEqual({ code: 0, out: "node1\n", err: "" });
      await vi.waitUntil(() => asked === count, { timeout: 10_000 });
      await lockIsFree();
    }
  });

  test("does not follow a command that failed, nor completion", async () => {
    await useContext(DUE);
    expect((await home.berth("node inspect host-1")).code).toBe(1);
    expect((await home.berth("__complete node inspect ho")).out).toBe("host-1\n");
    expect(renewals).toBe(0);
  });

  test("comes first when the certificate has expired less than 30 days ago", async () => {
    await useContext(IN_GRACE);
    expect(await home.berth("node ls -q")).toEqual({ code: 0, out: "node1\n", err: "" });
    expect(renewals).toBe(1);
  });

  test("an expired certificate cannot be renewed, and the error says what to do", async () => {
    const address = await useContext(TOO_OLD);
    const { code, err } = await home.berth("node ls");
    expect(code).toBe(1);
    expect(err).toMatch(/certificate of user "alice.x1y2z3" in context "lab" expired at \d{4}-/);
    expect(err).toMatch(/this host's clock says \d{4}-.*; correct the clock, or ask an administrator/);
    expect(err).toContain(`berth context create lab --server ${address} --invitation-file -`);
    expect([callers, renewals]).toEqual([[], 0]);
  });

  test("happens once when several commands run at the same time", async () => {
    await useContext(DUE);
    const old = await storedCertificate();
    const results = await Promise.all(Array.from({ length: 8 }, () => home.berth("node ls -q")));
    expect(results.map(({ code }) => code)).toEqual(Array(8).fill(0));
    await vi.waitUntil(async () => (await storedCertificate()) !== old, { timeout: 10_000 });
    await lockIsFree();
    expect(renewals).toBe(1);
    expect((await home.berth("node ls -q")).code).toBe(0);
  });

  test("ignores a lock that a killed command left over", async () => {
    await useContext(DUE);
    const old = await storedCertificate();
    const lock = join(home.identityDirectory("lab-1"), "renewal.lock");
    await writeFile(lock, "");
    await utimes(lock, new Date(0), new Date(0));
    expect((await home.berth("node ls -q")).code).toBe(0);
    await vi.waitUntil(async () => (await storedCertificate()) !== old, { timeout: 10_000 });
  });

  test("never disturbs commands that load the identity meanwhile", async () => {
    await useContext();
    const location = { context: "lab", server: "", directory: home.identityDirectory("lab-1") };
    let isDone = false;
    const renewing = (async () => {
      for (let round = 0; round < 10; round++) await cluster.store(location.directory, ALICE);
    })().finally(() => {
      isDone = true;
    });
    let loaded = 0;
    while (!isDone) {
      expect((await loadContextIdentity(location)).facts.identity).toEqual({ kind: "user", name: ALICE });
      loaded += 1;
    }
    await renewing;
    expect(loaded).toBeGreaterThan(0);
  });

  async function lockIsFree(): Promise<void> {
    const lock = join(home.identityDirectory("lab-1"), "renewal.lock");
    const isFree = () =>
      readFile(lock).then(
        () => false,
        () => true,
      );
    await vi.waitUntil(isFree, { timeout: 10_000 });
  }
});

describe("errors name the context, the certificate and the clocks", () => {
  const use =
    /context "lab" has the certificate of user "alice\.x1y2z3", valid until \d{4}-[^,]+, and this host's clock says \d{4}-/;

  test("the error names them for a rejected certificate", async () => {
    const message =
      'the server rejected the certificate: certificate of user "alice.x1y2z3" has been revoked';
    const over: FakeControlHandlers = {
      listNodes: async () => {
        throw new BerthError({ code: "BERTH_UNAUTHENTICATED", message });
      },
    };
    await useContext(FRESH, { over });
    const { code, err } = await home.berth("node ls");
    expect(code).toBe(1);
    expect(err).toContain(`error: ${message}; context "lab"`);
    expect(err).toMatch(use);
    expect(err).toMatch(/: ask an administrator for an invitation .*--invitation-file -"\n\(BERTH_UNAUTH/);
  });

  test.each([
    ["viewer", /requires the role admin; .*: ask an administrator for another role \("berth user invite"\)/],
    [undefined, /with no role .*: the user was removed; ask an administrator for an invitation/],
  ] as const)("BERTH_PERMISSION_DENIED of the role %s", async (role, expected) => {
    await useContext();
    cluster.roles = role === undefined ? [] : [role];
    const { code, err } = await home.berth("user ls");
    expect(code).toBe(1);
    expect(err).toMatch(expected);
    expect(err).toMatch(use);
  });

  test("the error names them for a server whose certificate has expired", async () => {
    const address = await useContext(FRESH, { server: { from: -5, until: -1 } });
    const { code, err } = await home.berth("node ls");
    expect(code).toBe(1);
    expect(err).toContain(`cannot verify the berth server at ${address}: `);
    expect(err).toMatch(/certificate has expired \(this host's clock says \d{4}-/);
    expect(err).toMatch(/, and trusts servers of test\n\(BERTH_CERTIFICATE_INVALID\)/);
  });

  test("the error names them for a server of another cluster", async () => {
    const other = await (await FakeTlsCluster.create("other")).start(handlers);
    cleanUps.push(other.close);
    await useContext();
    const { code, err } = await home.berth(`--server ${other.address} node ls`);
    expect(code).toBe(1);
    expect(err).toContain("(BERTH_CERTIFICATE_INVALID)");
    expect(callers).toEqual([]);
  });

  test("a damaged identity directory is reported as BERTH_IDENTITY_INVALID", async () => {
    await useContext();
    await IdentityDirectory.open(home.identityDirectory("lab-1"));
    await writeFile(join(home.identityDirectory("lab-1"), "certificate.pem"), "x");
    const { code, err } = await home.berth("node ls");
    expect(code).toBe(1);
    expect(err).toContain(`cannot use the identity in ${home.identityDirectory("lab-1")}: `);
    expect(err).toContain("; ask an administrator for an invitation");
  });
});
