import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Identity } from "../identity/identity.js";
import { HOUR_MS, TestAuthority } from "../identity/testing/test-authority.js";
import type { RotatingIdentity } from "./rpc-identity.js";
import { FOLLOW, identityOf, openStream, outcomeOf, TlsCluster } from "./testing/tls-cluster.js";

const ADMIN: Identity = { kind: "user", name: "admin" };
const SERVER: Identity = { kind: "server", id: "s1" };

let cluster: TlsCluster;

beforeEach(async () => {
  cluster = await TlsCluster.start();
});

afterEach(() => cluster.close());

/** Gives a program a new certificate. */
async function rotate(
  identity: RotatingIdentity,
  name: Identity,
  issuer: TestAuthority,
  authorities: string,
): Promise<void> {
  identity.update({ authorities, leaf: await issuer.issue(name) });
}

function open(options: ConnectionOptions = {}): TLSSocket {
  const [host = "", port] = cluster.address.split(":");
  return connect({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ["h2"], ...options });
}

/** Returns the protocol of a connection, or the code of its error. */
async function protocolOf(options: ConnectionOptions): Promise<string> {
  const socket = open(options);
  try {
    await once(socket, "secureConnect");
    return String(socket.getProtocol());
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  } finally {
    socket.destroy();
  }
}

describe("a server with TLS", () => {
  it("tls13-after-rotation: accepts TLS 1.3 only, before and after rotations", async () => {
    const old: ConnectionOptions = { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" };
    const expectTls13 = async () => {
      expect(await protocolOf(old)).toBe("ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
      expect(await protocolOf({})).toBe("TLSv1.3");
    };
    await expectTls13();
    await rotate(cluster.identity, SERVER, cluster.ca, cluster.ca.certificate);
    await expectTls13();
    await rotate(cluster.identity, SERVER, cluster.ca, cluster.ca.certificate);
    await expectTls13();
  });

  it("resumes no TLS session, before and after a rotation", async () => {
    const leaf = await cluster.ca.issue(ADMIN);
    const credentials: ConnectionOptions = { cert: leaf.certificate, key: leaf.key };
    const isResumed = async () => {
      const first = open(credentials);
      const session = await Promise.race([
        once(first, "session").then(([ticket]) => ticket as Buffer),
        delay(500),
      ]);
      first.destroy();
      const second = open({ ...credentials, ...(session && { session }) });
      await once(second, "secureConnect");
      const reused = second.isSessionReused();
      second.destroy();
      return reused;
    };
    expect(await isResumed()).toBe(false);
    await rotate(cluster.identity, SERVER, cluster.ca, cluster.ca.certificate);
    expect(await isResumed()).toBe(false);
  });

  it("keeps what it has when new material is unusable", async () => {
    const { leaf } = cluster.identity.current;
    const other = await TestAuthority.create("other");
    const invalid = [
      { authorities: "", leaf },
      { authorities: other.certificate, leaf: await other.issue(SERVER) },
      {
        authorities: cluster.ca.certificate,
        leaf: leaf && { ...leaf, key: (await other.issue(SERVER)).key },
      },
    ];
    for (const material of invalid) expect(() => cluster.identity.update(material)).toThrow();
    const client = await cluster.connectAs(ADMIN);
    expect(await outcomeOf(client.control.getNode({ node: "n" }))).toBe("ok");
  });

  it("accepts an expired certificate for its own renewal only, for 30 days", async () => {
    const outcomes = async (node: Identity, untilMs: number) => {
      const validity = { fromMs: untilMs - HOUR_MS, untilMs };
      const renew = async (): Promise<unknown> =>
        (await cluster.connectAs(node, validity)).control.renewCertificate({ certificateRequest: "" });
      const report = async (): Promise<unknown> =>
        (await cluster.connectAs(node, validity)).dispatcher.pushStats((async function* () {})());
      return [await outcomeOf(renew()), await outcomeOf(report())];
    };
    const node: Identity = { kind: "node", id: "n1" };
    expect(await outcomes(node, HOUR_MS)).toEqual(["ok", "ok"]);
    expect(await outcomes(node, -29 * 24 * HOUR_MS)).toEqual(["ok", "BERTH_UNAUTHENTICATED"]);
    expect(await outcomes(node, -31 * 24 * HOUR_MS)).toEqual([
      "BERTH_UNAUTHENTICATED",
      "BERTH_UNAUTHENTICATED",
    ]);
  });

  it("announces the limit of streams to clients of other programs", async () => {
    const session = connectHttp2(`https://${cluster.address}`, { rejectUnauthorized: false });
    const [settings] = await once(session, "remoteSettings");
    session.destroy();
    expect(settings).toMatchObject({ maxConcurrentStreams: 1_152 });
  });

  it("closes connections with a rejected certificate after a while", async () => {
    const leaf = await cluster.ca.issue(ADMIN, { untilMs: -1_000 });
    const socket = open({ cert: leaf.certificate, key: leaf.key });
    await once(socket, "secureConnect");
    socket.resume();
    await once(socket, "close");
  });
});

describe("a rotation", () => {
  it("a rotation of leaf certificates on both sides keeps streams open, and new calls use the new certificate", async () => {
    const admin = await identityOf(cluster.ca, ADMIN);
    const { control } = cluster.connect(admin);
    const streams = [await openStream((options) => control.streamLogs(FOLLOW, options))];
    for (let i = 0; i < 3; i++) {
      await rotate(cluster.identity, SERVER, cluster.ca, cluster.ca.certificate);
      await rotate(admin, ADMIN, cluster.ca, cluster.ca.certificate);
      streams.push(await openStream((options) => control.streamLogs(FOLLOW, options)));
    }
    const peers = cluster.contexts.map(({ peer }) => peer);
    expect(new Set(peers).size).toBe(4);
    expect(await Promise.race([...streams.map(({ ended }) => ended), delay(300, "all open")])).toBe(
      "all open",
    );
    for (const stream of streams) await stream.close();
  });

  it("a rotation of the CA drops no stream of a client that gets its new certificate before the old CA is removed", async () => {
    const { ca } = cluster;
    const next = await TestAuthority.create();
    const both = ca.certificate + next.certificate;
    const admin = await identityOf(ca, ADMIN);
    const { control } = cluster.connect(admin);
    const before = await openStream((options) => control.streamLogs(FOLLOW, options));
    const trust = (identity: RotatingIdentity) => identity.update({ ...identity.current, authorities: both });

    // First, everyone trusts both. Then, everyone gets a certificate of the new CA, in any order.
    trust(cluster.identity);
    trust(admin);
    await rotate(admin, ADMIN, next, both);
    const during = await openStream((options) => control.streamLogs(FOLLOW, options));
    await rotate(cluster.identity, SERVER, next, both);
    const after = await openStream((options) => control.streamLogs(FOLLOW, options));
    expect(await Promise.race([before.ended, during.ended, after.ended, delay(300, "all open")])).toBe(
      "all open",
    );

    // A client opens its long streams again after it got its new certificate. Then, the old CA can be removed.
    await before.close();
    cluster.identity.update({ ...cluster.identity.current, authorities: next.certificate });
    admin.update({ ...admin.current, authorities: next.certificate });
    expect(await Promise.race([during.ended, after.ended, delay(300, "all open")])).toBe("all open");
    expect(await outcomeOf(control.getNode({ node: "n" }))).toBe("ok");
    await during.close();
    await after.close();
  });

  it("that removes a CA ends the streams of callers with a certificate of this CA", async () => {
    const next = await TestAuthority.create();
    const both = cluster.ca.certificate + next.certificate;
    const stream = await openFollowing(await cluster.connectAs(ADMIN));
    await rotate(cluster.identity, SERVER, next, both);
    expect(await Promise.race([stream.ended, delay(300, "open")])).toBe("open");
    cluster.identity.update({ ...cluster.identity.current, authorities: next.certificate });
    expect(await stream.ended).toBe("BERTH_UNAUTHENTICATED");
    expect(stream.error()).toMatchObject({ details: { reason: "unknown-authority" } });
  });
});

function openFollowing({ control }: ReturnType<TlsCluster["connect"]>) {
  return openStream((options) => control.streamLogs(FOLLOW, options));
}
