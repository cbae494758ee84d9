import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { ControlServiceService, JoinKind } from "@berth/proto";
import { createKey, createRequest, formatJoinToken, IdentityDirectory } from "@berth/proto/identity";
import { createRpcClient, joinCluster, RotatingIdentity, requestJoin } from "@berth/proto/rpc";
import { afterEach, describe, expect, it } from "vitest";
import { TestAuthority } from "../../proto/src/identity/testing/test-authority.js";
import { eventually } from "../harness/eventually.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import type { TestServer } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();
/** Limit of unknown tokens that one source can present in a minute. */
const MAX_UNKNOWN_TOKENS = 30;
const signal = AbortSignal.timeout(120_000);
const listeners: Server[] = [];

afterEach(() => {
  for (const listener of listeners.splice(0)) listener.close();
});

async function addressOf(server: Server): Promise<string> {
  listeners.push(server);
  await once(server.listen(0, "127.0.0.1"), "listening");
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function createToken({ calls }: TestServer): Promise<string> {
  return eventually("the leader creates a token", async () => {
    const options = { kind: JoinKind.NODE, ttlMs: 60_000, uses: 1, hostname: "" };
    const { token } = await calls.createJoinToken({
      ...options,
      requiresApproval: false,
      labels: {},
      replaceOthers: false,
    });
    return token;
  });
}

const openDirectory = (): Promise<IdentityDirectory> =>
  IdentityDirectory.open(`${temporaryDirectory()}/identity`);

/** Starts a server of another cluster that records all that it receives in its TLS connections. */
async function startFalseServer() {
  const ca = await TestAuthority.create();
  const { certificate, key } = await ca.issue({ kind: "server", id: "s1" });
  const received: Buffer[] = [];
  let connections = 0;
  const options = { cert: `${certificate}\n${ca.certificate}`, key, ALPNProtocols: ["h2"] };
  const server = createTlsServer(options, (socket) => {
    socket.on("data", (bytes) => received.push(bytes)).on("error", () => {});
  });
  server.on("connection", () => {
    connections += 1;
  });
  const address = await addressOf(server);
  return {
    address,
    receivedText: () => Buffer.concat(received).toString("latin1"),
    connections: () => connections,
  };
}

/** Forwards the first connections to one address and all later ones to another. */
function forwardTo(first: string, { later, after }: { readonly later: string; readonly after: number }) {
  let count = 0;
  return addressOf(
    createServer((socket: Socket) => {
      count += 1;
      const [host = "", port] = (count <= after ? first : later).split(":");
      const upstream = connect(Number(port), host);
      socket.on("error", () => upstream.destroy()).on("close", () => upstream.destroy());
      upstream.on("error", () => socket.destroy()).on("close", () => socket.destroy());
      socket.pipe(upstream).pipe(socket);
    }),
  );
}

describe("join-pin: a host with a join token", () => {
  it("sends a false server no byte, and the token stays usable", async () => {
    const server = await context.cluster.startServer();
    const token = await createToken(server);
    const falseServer = await startFalseServer();
    const join = async (address: string) =>
      joinCluster({ address, token, hostname: "host1", directory: await openDirectory() }, signal);
    await expect(join(falseServer.address)).rejects.toMatchObject({ code: "BERTH_AUTHORITY_MISMATCH" });
    expect(falseServer.connections()).toBeGreaterThan(0);
    expect(falseServer.receivedText()).toBe("");
    await join(server.address);
  });

  it("sends no byte to a false server that takes the connection over after the check of the CA", async () => {
    const server = await context.cluster.startServer();
    const token = await createToken(server);
    const falseServer = await startFalseServer();
    const address = await forwardTo(server.address, { later: falseServer.address, after: 1 });
    const directory = await openDirectory();
    await expect(joinCluster({ address, token, hostname: "host1", directory }, signal)).rejects.toMatchObject(
      {
        code: "BERTH_CERTIFICATE_INVALID",
      },
    );
    expect(falseServer.connections()).toBeGreaterThan(0);
    expect(falseServer.receivedText()).toBe("");
    await joinCluster({ address: server.address, token, hostname: "host1", directory }, signal);
  });

  it("a host cannot use a join token again for another key, nor a token that was removed", async () => {
    const server = await context.cluster.startServer();
    const { address } = server;
    const token = await createToken(server);
    await joinCluster({ address, token, hostname: "host1", directory: await openDirectory() }, signal);
    const second = { address, token, hostname: "host1", directory: await openDirectory() };
    await expect(requestJoin(second, signal)).rejects.toMatchObject({ details: { reason: "used-up" } });
    const removed = await createToken(server);
    for (const { id } of (await server.calls.listJoinTokens({})).tokens)
      await server.calls.removeJoinToken({ token: id });
    await expect(requestJoin({ ...second, token: removed }, signal)).rejects.toMatchObject({
      details: { reason: "unknown" },
    });
  });

  it("gets no answer after many unknown tokens from its address, so it cannot guess", async () => {
    const server = await context.cluster.startServer();
    const token = await createToken(server);
    const [, , fingerprint = ""] = token.split("-");
    const { files } = await joinCluster(
      {
        address: server.address,
        token: await createToken(server),
        hostname: "host0",
        directory: await openDirectory(),
      },
      signal,
    );
    const identity = new RotatingIdentity({ authorities: files.authorities, leaf: undefined });
    const client = createRpcClient(ControlServiceService, { address: server.address, identity });
    const certificateRequest = await createRequest(createKey());
    const join = (guess: string) =>
      client.calls.join({ token: guess, certificateRequest, hostname: "host1" });
    for (let count = 0; count < MAX_UNKNOWN_TOKENS; count += 1) {
      const random = Buffer.alloc(16, count + 1);
      await expect(join(formatJoinToken(JoinKind.NODE, fingerprint, random))).rejects.toMatchObject({
        code: "BERTH_TOKEN_INVALID",
        details: { reason: "unknown" },
      });
    }
    // Not even for the right token: the difference would tell which tokens exist.
    await expect(join(token)).rejects.toMatchObject({ code: "BERTH_LIMIT_EXCEEDED" });
    client.close();
  });
});
