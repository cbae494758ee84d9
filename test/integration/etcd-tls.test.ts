import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { get as getHttp } from "node:http";
import { get as getHttps } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "node:tls";
import { IdentityDirectory, parseCertificate } from "@berth/proto/identity";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../packages/control-plane/src/runtime/clock.js";
import { campaign } from "../../packages/control-plane/src/store/election.js";
import {
  type EmbeddedEtcd,
  type EmbeddedEtcdOptions,
  startEmbeddedEtcd,
} from "../../packages/control-plane/src/store/embedded/embedded-etcd.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import type { EtcdTls } from "../../packages/control-plane/src/store/etcd-tls.js";
import { readOne } from "../../packages/control-plane/src/store/read.js";
import type { WatchMessage } from "../../packages/control-plane/src/store/store.js";
import {
  EtcdAuthority,
  type MemberCertificate,
} from "../../packages/control-plane/src/testing/etcd-authority.js";
import { eventually } from "../harness/eventually.js";
import { startServerProcess } from "../harness/server-process.js";

const KEY = "/berth/v1/meta/schema";
const LEADER_KEY = "/berth/v1/leader";
/** Timeout of calls that etcd refuses. */
const REFUSED_CALL_TIMEOUT_MS = 1_500;
/** Timeout of calls that must succeed, on a busy machine too. */
const CALL_TIMEOUT_MS = 5_000;
/** Long enough for the first writes on a busy machine. The test waits until the certificate has expired. */
const CLIENT_VALIDITY_MS = 8_000;
const logger = pino({ level: "silent" });

let directory: string;
let authority: EtcdAuthority;
let identity: IdentityDirectory;
let signal: AbortSignal;
let cleanUps: (() => unknown)[];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "berth-etcd-tls-"));
  const abort = new AbortController();
  signal = abort.signal;
  cleanUps = [() => rmSync(directory, { recursive: true, force: true }), () => abort.abort()];
  authority = await EtcdAuthority.create();
  identity = await IdentityDirectory.open(join(directory, "identity"));
});
afterEach(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
});

async function start(options: Partial<EmbeddedEtcdOptions> = {}): Promise<EmbeddedEtcd> {
  const dataDir = join(directory, "data");
  const etcd = await startEmbeddedEtcd({ dataDir, tls: identity.paths, logger, ...options }, signal);
  cleanUps.push(() => etcd.stop());
  return etcd;
}

function storeOn(
  { endpoint }: Pick<EmbeddedEtcd, "endpoint">,
  tls: EtcdTls | undefined,
  callTimeoutMs = CALL_TIMEOUT_MS,
): EtcdStore {
  const store = new EtcdStore({ endpoints: [endpoint], tls, callTimeoutMs });
  cleanUps.push(() => store.close());
  return store;
}

/** Returns a certificate in a new directory. */
async function issue(by: EtcdAuthority, certificate: Partial<MemberCertificate> = {}): Promise<EtcdTls> {
  const other = await IdentityDirectory.open(mkdtempSync(join(directory, "other-")));
  return by.issueTo(other, { id: "s2", ...certificate });
}

async function write(store: EtcdStore, value: string): Promise<string> {
  const outcome = await store.txn({ ops: [{ kind: "put", key: KEY, value }] }, signal);
  return outcome.kind;
}

function pidOfEtcd(): number {
  return JSON.parse(readFileSync(join(directory, "data", "berth-server.json"), "utf8")).etcd.pid;
}

function peerUrl(etcd: EmbeddedEtcd): string {
  const url = new URL(etcd.endpoint);
  return `${url.protocol}//${url.hostname}:${Number(url.port) + 1}`;
}

/**
 * Returns the status of a GET, and rejects without an answer. `tls` is undefined for a client without a certificate.
 */
async function getStatus(url: string, tls: Partial<EtcdTls> | undefined): Promise<number> {
  const get = url.startsWith("https:") ? getHttps : getHttp;
  // The client trusts every server, so that only the server can refuse the connection.
  const request = get(url, {
    agent: false,
    rejectUnauthorized: false,
    timeout: CALL_TIMEOUT_MS,
    cert: tls?.certificate,
    key: tls?.key,
  });
  const [response] = await once(request, "response");
  response.resume();
  return response.statusCode;
}

/** Returns the version of TLS and the serial number of the certificate that a new connection gets. */
async function handshake(url: string, tls: EtcdTls): Promise<{ version: string | null; serial: string }> {
  const socket = connect({
    host: new URL(url).hostname,
    port: Number(new URL(url).port),
    ca: tls.authorities,
    cert: tls.certificate,
    key: tls.key,
  });
  await once(socket, "secureConnect");
  const version = socket.getProtocol();
  const serial = socket.getPeerCertificate().serialNumber;
  socket.destroy();
  return { version, serial };
}

/** Returns the number of established connections to the port of a URL. */
function connectionsTo(url: string): number {
  const port = Number(new URL(url).port).toString(16).toUpperCase().padStart(4, "0");
  return readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .filter((line) => new RegExp(`^ *\\d+: \\w+:\\w+ \\w+:${port} 01 `).test(line)).length;
}

function serialOf({ certificate }: EtcdTls): string {
  return parseCertificate(certificate).serialNumber;
}

describe("an embedded etcd with TLS", () => {
  it("serves a store over TLS 1.3 and uses the same files after a restart", async () => {
    const warnings: string[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning.message);
    process.on("warning", onWarning);
    cleanUps.push(() => process.off("warning", onWarning));
    const tls = await authority.issueTo(identity, { id: "s1" });
    const etcd = await start();
    expect(etcd.endpoint).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const store = storeOn(etcd, tls);
    expect(await write(store, "1")).toBe("committed");
    for (const url of [etcd.endpoint, peerUrl(etcd)]) {
      expect(await handshake(url, tls)).toEqual({ version: "TLSv1.3", serial: serialOf(tls) });
    }
    const pid = pidOfEtcd();
    process.kill(pid, "SIGKILL");
    await eventually("etcd serves its data again", async () => {
      return (await readOne(store, KEY, signal))?.value === "1" && pidOfEtcd() !== pid;
    });
    await eventually("etcd accepts writes", async () => (await write(store, "2")) === "committed");
    // Node.js warns about addresses as server names.
    expect(warnings.filter((warning) => /ServerName/.test(warning))).toEqual([]);
  });

  it("refuses clients without a certificate of its CA, and clients without TLS, on both of its ports", async () => {
    const tls = await authority.issueTo(identity, { id: "s1" });
    const etcd = await start();
    const other = await issue(await EtcdAuthority.create());
    const expired = await issue(authority, { validForMs: -60_000 });
    const paths = [
      `${etcd.endpoint}/health`,
      `${etcd.endpoint}/metrics`,
      `${peerUrl(etcd)}/members`,
      `${peerUrl(etcd)}/version`,
    ];
    for (const url of paths) {
      expect(await getStatus(url, tls), url).toBe(200);
      for (const certificate of [undefined, other, expired]) {
        await expect(getStatus(url, certificate), url).rejects.toThrow();
      }
      const plain = await getStatus(url.replace("https:", "http:"), undefined).catch(() => undefined);
      expect([undefined, 400], url).toContain(plain);
    }

    const withOwnCa = { ...other, authorities: tls.authorities };
    const endpoint = etcd.endpoint.replace("https:", "http:");
    for (const store of [
      storeOn(etcd, withOwnCa, REFUSED_CALL_TIMEOUT_MS),
      storeOn({ endpoint }, undefined, REFUSED_CALL_TIMEOUT_MS),
    ]) {
      expect(await write(store, "intruder")).toBe("unknown");
      await expect(readOne(store, KEY, signal)).rejects.toMatchObject({ code: "BERTH_ETCD_UNAVAILABLE" });
    }
    expect(await readOne(storeOn(etcd, tls), KEY, signal)).toBeUndefined();
  });

  it("gets no request from a store that expects another CA or another address", async () => {
    const tls = await authority.issueTo(identity, { id: "s1" });
    const etcd = await start();
    const other = await EtcdAuthority.create();
    const strangerTls = { ...tls, authorities: (await issue(other)).authorities };
    const stranger = storeOn(etcd, strangerTls, REFUSED_CALL_TIMEOUT_MS);
    await expect(readOne(stranger, KEY, signal)).rejects.toThrow(/unable to (?:get|verify)|self-signed/);

    // localhost is the same address, but the certificate does not have this name.
    const byName = etcd.endpoint.replace("127.0.0.1", "localhost");
    const misled = storeOn({ endpoint: byName }, tls, REFUSED_CALL_TIMEOUT_MS);
    await expect(readOne(misled, KEY, signal)).rejects.toMatchObject({ code: "BERTH_ETCD_UNAVAILABLE" });
    expect(await readOne(storeOn(etcd, tls), KEY, signal)).toBeUndefined();
  });

  it("does not start with a certificate that has expired or lacks its address", async () => {
    await authority.issueTo(identity, { id: "s1", validForMs: -60_000 });
    await expect(start()).rejects.toMatchObject({
      code: "BERTH_IDENTITY_INVALID",
      message: expect.stringMatching(/certificate\.pem expired at/),
    });
    await authority.issueTo(identity, { id: "s1", addresses: ["10.0.0.1"] });
    await expect(start()).rejects.toMatchObject({
      code: "BERTH_IDENTITY_INVALID",
      message: expect.stringMatching(/does not have the address 127\.0\.0\.1/),
    });
  });
});

describe("a renewed certificate", () => {
  it("new connections use a renewed certificate while watches, leases and elections continue", async () => {
    const first = await authority.issueTo(identity, { id: "s1" });
    const etcd = await start();
    const store = storeOn(etcd, first);
    const pid = pidOfEtcd();

    const messages: WatchMessage[] = [];
    void (async () => {
      for await (const message of store.watch({ key: KEY, fromRevision: 1n }, signal)) messages.push(message);
    })();
    const terms = campaign(
      { store, clock: systemClock, key: LEADER_KEY, value: "s1", ttlSeconds: 3 },
      signal,
    );
    const { value: term } = await terms.next();
    cleanUps.push(() => terms.return(undefined));

    let written = 0;
    const serials: string[] = [];
    for (let round = 0; round < 4; round++) {
      const renewed = await authority.issueTo(identity, { id: "s1" });
      store.updateTls(renewed);
      for (let count = 0; count < 5; count++) {
        expect(await write(store, String(written))).toBe("committed");
        written += 1;
        // The four rounds take longer than the lease.
        await delay(200);
      }
      const { serial } = await handshake(etcd.endpoint, renewed);
      expect(serial).toBe(serialOf(renewed));
      serials.push(serial);
    }
    expect(new Set(serials).size).toBe(4);
    expect(pidOfEtcd()).toBe(pid);

    await eventually("all writes arrive", () => messages.length >= written);
    const values = messages.map((message) =>
      message.kind === "events"
        ? message.events.map((event) => event.kind === "put" && event.entry.value)
        : [message],
    );
    expect(values.flat()).toEqual(Array.from({ length: written }, (_, index) => String(index)));
    // The watch keeps the first connections open, one for each purpose. etcd has a connection to itself.
    await eventually("the connections of the other certificates are closed", () => {
      return connectionsTo(etcd.endpoint) <= 2 * 3 + 1;
    });
    expect(term?.isHeld()).toBe(true);
    expect((await readOne(store, LEADER_KEY, signal))?.createRevision).toBe(term?.epoch);
  });

  it("lets the store reconnect after the first certificate has expired", async () => {
    await authority.issueTo(identity, { id: "s1" });
    const etcd = await start();
    const first = await issue(authority, { validForMs: CLIENT_VALIDITY_MS });
    const expiresAtMs = Date.parse(parseCertificate(first.certificate).validTo);
    const [renewing, forgetful] = [storeOn(etcd, first), storeOn(etcd, first)];
    for (const store of [renewing, forgetful]) expect(await write(store, "first")).toBe("committed");

    renewing.updateTls(await issue(authority));
    await delay(expiresAtMs - Date.now() + 1_000);
    expect(await write(forgetful, "on the old connection")).toBe("committed");
    const pid = pidOfEtcd();
    process.kill(pid, "SIGKILL");
    await eventually("the store with the renewed certificate reconnects", async () => {
      return pidOfEtcd() !== pid && (await write(renewing, "second")) === "committed";
    });
    await expect(readOne(forgetful, KEY, signal)).rejects.toMatchObject({ code: "BERTH_ETCD_UNAVAILABLE" });
  });

  it("that TLS cannot use is refused, and the previous one stays in use", async () => {
    const tls = await authority.issueTo(identity, { id: "s1" });
    const store = storeOn(await start(), tls);
    const { key } = await issue(authority);
    expect(() => store.updateTls({ ...tls, key })).toThrow(/key values mismatch/);
    expect(await write(store, "1")).toBe("committed");
  });
});

describe("berth server --etcd https://…", () => {
  it("uses an external etcd with a client certificate, and names a file that it cannot read", async () => {
    await authority.issueTo(identity, { id: "s1" });
    const etcd = await start();
    const { authoritiesFile, certificateFile, keyFile } = identity.paths;
    const args = ["--etcd", etcd.endpoint, "--etcd-ca", authoritiesFile, "--etcd-cert", certificateFile];
    await expect(startServerProcess([...args, "--etcd-key", "/nonexistent"])).rejects.toThrow(/nonexistent/);

    const server = await startServerProcess([...args, "--etcd-key", keyFile]);
    cleanUps.push(() => server.kill());
    const store = storeOn(etcd, await identity.load());
    await eventually("the server is elected", async () => {
      return (await readOne(store, LEADER_KEY, signal))?.value.includes(server.address);
    });
  });
});
