import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { Server } from "@grpc/grpc-js";
import { afterEach, describe, expect, it, vi } from "vitest";
import { TestAuthority } from "../identity/testing/test-authority.js";
import { PendingHandshakes, sourceOf } from "./pending-handshakes.js";
import { PERMISSIONS } from "./permissions.js";
import { RotatingIdentity } from "./rpc-identity.js";
import { listenTls } from "./tls-listener.js";

const cleanUps: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

function socketFrom(remoteAddress: string): Socket {
  return { remoteAddress, destroy: () => {} } as unknown as Socket;
}

/** Finishes a TLS handshake. @throws Error when the listener closes the connection */
async function handshakeWith(port: number): Promise<void> {
  const client = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["h2"] });
  cleanUps.push(() => client.destroy());
  await once(client, "secureConnect");
}

describe("PendingHandshakes", () => {
  it("limits the connections of one source, and leaves room for others", () => {
    const pending = new PendingHandshakes({ total: 3, perSource: 2 });
    expect(["a", "b", "c"].map((key) => pending.add(key, socketFrom("10.0.0.1")))).toEqual([
      true,
      true,
      false,
    ]);
    expect(pending.add("d", socketFrom("10.0.0.2"))).toBe(true);
    expect(pending.add("e", socketFrom("10.0.0.3"))).toBe(false);
    pending.delete("a");
    expect(pending.add("e", socketFrom("10.0.0.1"))).toBe(true);
  });

  it("does not count a connection twice when it finishes and closes", () => {
    const pending = new PendingHandshakes({ total: 2, perSource: 1 });
    const [first, second] = [socketFrom("10.0.0.1"), socketFrom("10.0.0.1")];
    pending.add("a", first);
    pending.delete("a");
    pending.add("a", second);
    pending.deleteSocket("a", first);
    expect(pending.add("b", socketFrom("10.0.0.1"))).toBe(false);
  });
});

describe("sourceOf()", () => {
  it.each([
    ["10.0.0.1", "10.0.0.1"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["2001:db8:0:1:a:b:c:d", "2001:db8:0:1"],
    ["2001:db8::1", "2001:db8:0:0"],
    ["fe80::", "fe80:0:0:0"],
    ["::1", "0:0:0:0"],
  ])("of %s is %s", (address, source) => {
    expect(sourceOf(address)).toBe(source);
  });
});

describe("listenTls()", () => {
  it("closes further connections while too many handshakes of a source are pending", async () => {
    const authority = await TestAuthority.create();
    const leaf = await authority.issue({ kind: "server", id: "s1" });
    const identity = new RotatingIdentity({ authorities: authority.certificate, leaf });
    const server = new Server();
    const security = { identity, permissions: PERMISSIONS, rolesOf: () => [] };
    const limits = { total: 10, perSource: 2 };
    const listener = await listenTls(server, "127.0.0.1:0", security, { limits });
    cleanUps.push(
      () => listener.close(),
      () => server.forceShutdown(),
    );
    const open = async (): Promise<Socket> => {
      const socket = connect(listener.port, "127.0.0.1");
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
    await vi.waitFor(() => handshakeWith(listener.port), { timeout: 10_000, interval: 50 });
  });
});
