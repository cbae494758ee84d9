import { once } from "node:events";
import { connect, Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { Server } from "@grpc/grpc-js";
import { afterEach, describe, expect, it, vi } from "vitest";
import { TestAuthority } from "../identity/testing/test-authority.js";
import { LISTENER_LIMITS, type ListenerLimits } from "./accepted-connections.js";
import { LimitedConnections } from "./limited-connections.js";
import { PERMISSIONS } from "./permissions.js";
import { RotatingIdentity } from "./rpc-identity.js";
import { listenTls } from "./tls-listener.js";

const WAIT = { timeout: 10_000, interval: 50 };
const cleanUps: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/**
 * Finishes a TLS handshake, with a certificate if there is one.
 *
 * @throws Error when the listener closes the connection
 */
async function handshakeWith(
  port: number,
  leaf?: { readonly certificate: string; readonly key: string },
): Promise<TLSSocket> {
  const client = connectTls({
    port,
    host: "127.0.0.1",
    rejectUnauthorized: false,
    ALPNProtocols: ["h2"],
    ...(leaf && { cert: leaf.certificate, key: leaf.key }),
  });
  cleanUps.push(() => client.destroy());
  await once(client, "secureConnect");
  client.on("error", () => {});
  client.resume();
  return client;
}

async function listen(change: Partial<ListenerLimits>) {
  const authority = await TestAuthority.create();
  const leaf = await authority.issue({ kind: "server", id: "s1" });
  const identity = new RotatingIdentity({ authorities: authority.certificate, leaf });
  const server = new Server();
  const security = { identity, permissions: PERMISSIONS, rolesOf: () => [] };
  const listener = await listenTls(server, "127.0.0.1:0", security, {
    limits: { ...LISTENER_LIMITS, ...change },
  });
  cleanUps.push(
    () => listener.close(),
    () => server.forceShutdown(),
  );
  return { authority, port: listener.port };
}

describe("LimitedConnections", () => {
  it("limits the connections of one group, and leaves room for others", () => {
    const connections = new LimitedConnections({ total: 3, perGroup: 2 });
    const add = (key: string, group: string): boolean => connections.add(key, new Socket(), group);
    expect(["a", "b", "c"].map((key) => add(key, "10.0.0.1"))).toEqual([true, true, false]);
    expect(add("d", "10.0.0.2")).toBe(true);
    expect(add("e", "10.0.0.3")).toBe(false);
    connections.delete("a");
    expect(add("e", "10.0.0.1")).toBe(true);
  });

  it("closes a connection that exceeds a limit", () => {
    const connections = new LimitedConnections({ total: 1, perGroup: 1 });
    const [first, second] = [new Socket(), new Socket()];
    connections.add("a", first, "g");
    connections.add("b", second, "g");
    expect([first.destroyed, second.destroyed]).toEqual([false, true]);
  });

  it("does not count a connection twice when it is deleted and closed", async () => {
    const connections = new LimitedConnections({ total: 2, perGroup: 1 });
    const [first, second] = [new Socket(), new Socket()];
    connections.add("a", first, "g");
    connections.delete("a");
    connections.add("a", second, "g");
    first.destroy();
    await once(first, "close");
    expect(connections.add("b", new Socket(), "g")).toBe(false);
  });
});

describe("listenTls()", () => {
  it("closes further connections while too many handshakes of a source are pending", async () => {
    const { port } = await listen({ handshakes: { total: 10, perGroup: 2 } });
    const open = async (): Promise<Socket> => {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {});
      cleanUps.push(() => socket.destroy());
      await once(socket, "connect");
      return socket;
    };
    const silent = [await open(), await open()];
    const rejected = await open();
    await once(rejected, "close");
    expect(silent.map(({ destroyed }) => destroyed)).toEqual([false, false]);
    silent[0]?.destroy();
    // The listener notices only after a moment that the connection has been closed.
    await vi.waitFor(() => handshakeWith(port), WAIT);
  });

  it("closes the connections of an identity beyond its limit, and serves others", async () => {
    const { authority, port } = await listen({ members: { total: 10, perGroup: 2 } });
    const alice = await authority.issue({ kind: "user", name: "alice" });
    const accepted = [await handshakeWith(port, alice), await handshakeWith(port, alice)];
    const excess = await handshakeWith(port, alice);
    await vi.waitFor(() => expect(excess.destroyed).toBe(true), WAIT);
    const bob = await handshakeWith(port, await authority.issue({ kind: "user", name: "bob" }));
    expect([...accepted, bob].map(({ destroyed }) => destroyed)).toEqual([false, false, false]);
  });

  it("closes connections without a certificate beyond their limit, and the others after a while", async () => {
    const { authority, port } = await listen({
      strangers: { total: 10, perGroup: 1 },
      strangerTimeoutMs: 500,
    });
    const alice = await authority.issue({ kind: "user", name: "alice" });
    const [first, excess] = await Promise.all([handshakeWith(port), handshakeWith(port)]);
    const member = await handshakeWith(port, alice);
    await vi.waitFor(() => expect([first.destroyed, excess.destroyed]).toContain(true), WAIT);
    await vi.waitFor(() => expect([first.destroyed, excess.destroyed]).toEqual([true, true]), WAIT);
    expect(member.destroyed).toBe(false);
  });
});
