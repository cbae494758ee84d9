import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ControlServiceService, JoinKind } from "@berth/proto";
import { parseCertificate } from "@berth/proto/identity";
import { createRpcClient, type RpcConnection } from "@berth/proto/rpc";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openServerIdentity } from "../../packages/control-plane/src/identity/server-identity.js";
import { systemRuntime } from "../../packages/control-plane/src/runtime/runtime.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import { readEtcdTls } from "../../packages/control-plane/src/store/etcd-tls.js";
import { readOne } from "../../packages/control-plane/src/store/read.js";
import { eventually } from "../harness/eventually.js";
import { type ServerProcess, startServerProcess } from "../harness/server-process.js";

type Control = RpcConnection<typeof ControlServiceService>;

const DAY_MS = 24 * 60 * 60 * 1_000;
const SCHEMA_KEY = "/berth/v1/meta/schema";

let folder: string;
let cleanUps: (() => unknown)[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "berth-server-identities-"));
  cleanUps = [() => rm(folder, { recursive: true, force: true })];
});
afterEach(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
});

const dataDirOf = (name: string): string => join(folder, name);
const socketOf = (name: string): string => join(folder, `${name}-run`, "server.sock");

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
  const connection = createRpcClient(ControlServiceService, { address: `unix:${socketOf(name)}` });
  cleanUps.push(() => connection.close());
  return connection;
}

function createToken(admin: Control, kind: JoinKind): Promise<string> {
  return eventually("the leader creates a token", async () => {
    const { token } = await admin.calls.createJoinToken({
      ...{ kind, ttlMs: 60 * 60_000, uses: 1, hostname: "", requiresApproval: false },
      replaceOthers: false,
    });
    return token;
  });
}

function certificateOf(name: string) {
  return parseCertificate(readFileSync(join(dataDirOf(name), "identity", "certificate.pem")));
}

/** Reads a key of a server's etcd with the certificate in a folder; undefined without a certificate. */
async function readEtcd(name: string, etcdFolder?: string): Promise<string | undefined> {
  const { ports } = JSON.parse(readFileSync(join(dataDirOf(name), "berth-server.json"), "utf8"));
  const scheme = etcdFolder === undefined ? "http" : "https";
  const tls =
    etcdFolder === undefined
      ? undefined
      : await readEtcdTls(
          {
            authoritiesFile: join(etcdFolder, "authorities.pem"),
            certificateFile: join(etcdFolder, "certificate.pem"),
            keyFile: join(etcdFolder, "key.pem"),
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

describe("a server with an identity", () => {
  test("serves root on its host over the socket, and its etcd requires a certificate of etcd's CA", async () => {
    const identity = await createCluster("s1");
    await start("s1");
    const admin = adminOf("s1");
    expect(await createToken(admin, JoinKind.SERVER)).toMatch(/^berth-server-/);
    expect(await readEtcd("s1", identity.etcdPath)).toBeDefined();
    await expect(readEtcd("s1")).rejects.toMatchObject({ code: "BERTH_ETCD_UNAVAILABLE" });
    await expect(readEtcd("s1", identity.folder.path)).rejects.toMatchObject({
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
