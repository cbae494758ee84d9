import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ControlServiceService,
  FileContent,
  FileKind,
  FileOutcome_Kind,
  JoinKind,
  ClusterKeyState_Phase as Phase,
  PutFileRequest,
  StreamAuditRequest,
} from "@berth/proto";
import { certificateFacts, createRequest, parseCertificate } from "@berth/proto/identity";
import { createRpcClient, type RpcConnection } from "@berth/proto/rpc";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { clusterIssuer } from "../../packages/control-plane/src/identity/certificate-issuer.js";
import { type ClusterKey, parseClusterKey } from "../../packages/control-plane/src/identity/cluster-key.js";
import { createFileSealer } from "../../packages/control-plane/src/identity/file-sealer.js";
import { openAuthority } from "../../packages/control-plane/src/identity/sealed-authority.js";
import { openServerIdentity } from "../../packages/control-plane/src/identity/server-identity.js";
import { joinServer } from "../../packages/control-plane/src/join/join-server.js";
import { systemRuntime } from "../../packages/control-plane/src/runtime/runtime.js";
import { startServer } from "../../packages/control-plane/src/server/server.js";
import { systemPlatform } from "../../packages/control-plane/src/server/server-platform.js";
import { decodeEntry, type Put } from "../../packages/control-plane/src/state/change.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import { ROOT } from "../../packages/control-plane/src/store/keys.js";
import { readAll } from "../../packages/control-plane/src/store/read.js";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { eventually } from "../harness/eventually.js";

const DAY_MS = 24 * 60 * 60 * 1_000;
/** Several passes of re-encryption. */
const SECRETS = 80;
const TIMEOUT_MS = 60_000;

let directory: string;
let etcd: TestEtcd;
let cleanUps: (() => unknown)[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-cluster-key-"));
  etcd = await startTestEtcd();
  cleanUps = [];
});
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  await etcd.close();
  await rm(directory, { recursive: true, force: true });
});

interface Server {
  readonly address: string;
  readonly calls: RpcConnection<typeof ControlServiceService>["calls"];
  stop(): Promise<void>;
}

const dataDirOf = (name: string): string => join(directory, name);

const openIdentity = (name: string) =>
  openServerIdentity({ dataDir: dataDirOf(name), nowMs: Date.now(), newId: systemRuntime.newId });

/** Starts a server with the data directory of this name. */
async function start(name: string): Promise<Server> {
  const identity = await openIdentity(name);
  const store = new EtcdStore({ endpoints: [etcd.endpoint] });
  const stopping = new AbortController();
  const socket = join(directory, `${name}.sock`);
  const running = await startServer(
    {
      store,
      identity,
      runtime: systemRuntime,
      advertise: undefined,
      socket,
      platform: systemPlatform(identity.rpc),
      listen: "127.0.0.1:0",
      http: "127.0.0.1:0",
      logger: pino({ level: process.env.BERTH_TEST_LOG ?? "silent" }),
    },
    stopping.signal,
  );
  const client = createRpcClient(ControlServiceService, { socket });
  let isStopped = false;
  const stop = async (): Promise<void> => {
    if (isStopped) return;
    isStopped = true;
    client.close();
    stopping.abort();
    await running.stopped;
    store.close();
  };
  cleanUps.push(stop);
  return { address: running.address, calls: client.calls, stop };
}

async function joinAs(name: string, server: Server): Promise<void> {
  const request = { kind: JoinKind.SERVER, ttlMs: DAY_MS, uses: 1, hostname: "", requiresApproval: false };
  const token = await eventually("the leader has stored the first authority", async () => {
    const created = await server.calls
      .createJoinToken({ ...request, replaceOthers: false, labels: {} })
      .catch(() => undefined);
    return created?.token;
  });
  const options = { address: server.address, token, hostname: name, dataDir: dataDirOf(name) };
  await joinServer(options, AbortSignal.timeout(30_000));
}

const contentOf = (name: string): Buffer => Buffer.from(`password of ${name}`);

const put = ({ calls }: Server, name: string, kind: FileKind = FileKind.SECRET) =>
  calls.putFile(
    PutFileRequest.fromPartial({ file: FileContent.fromPartial({ kind, name, content: contentOf(name) }) }),
  );

/** Rotates the cluster key, and waits until the servers that run have only the new one. Returns its ID. */
async function rotate({ calls }: Server): Promise<string> {
  const { id } = await calls.rotateClusterKey({});
  await eventually(
    "all servers have only the new key",
    async () => {
      const { state, waitingFor } = await calls.getClusterKey({});
      return state?.currentId === id && state.phase === Phase.UNSPECIFIED && waitingFor.length === 0;
    },
    TIMEOUT_MS,
  );
  return id;
}

async function storedKey(name: string): Promise<ClusterKey> {
  return parseClusterKey(await readFile(join(dataDirOf(name), "identity/cluster.key"), "utf8"));
}

/** Returns all records in etcd, and checks that everything encrypted opens with the key. */
async function readRecords(key: ClusterKey): Promise<readonly Put[]> {
  const store = new EtcdStore({ endpoints: [etcd.endpoint] });
  try {
    const { entries } = await readAll(store, { prefix: ROOT }, AbortSignal.timeout(30_000));
    const sealer = createFileSealer(key);
    return entries.flatMap((entry) => {
      const decoded = decodeEntry(entry);
      if (decoded.kind !== "put") return [];
      const { put: record } = decoded;
      if (record.kind === "put-file") {
        expect(sealer.open(record.file)).toEqual(contentOf(record.file.name));
        expect(sealer.mac(record.file, contentOf(record.file.name))).toEqual(record.file.contentMac);
      }
      if (record.kind === "put-authority") openAuthority(key, record.authority);
      return [record];
    });
  } finally {
    store.close();
  }
}

/** Gives a server a certificate that has expired some days ago. */
async function expireCertificate(name: string): Promise<void> {
  const { serverId, clusterKey, directory: identityDirectory } = await openIdentity(name);
  const authorities = (await readRecords(clusterKey)).flatMap((record) =>
    record.kind === "put-authority" ? [record.authority] : [],
  );
  const issuer = clusterIssuer({
    authorities: () => authorities,
    clusterKey,
    wallClockMs: () => Date.now() - 5 * DAY_MS,
  });
  const request = await createRequest(await identityDirectory.prepareKey());
  await identityDirectory.store(await issuer.issue({ kind: "server", id: serverId }, request));
}

test("the cluster key is replaced on all servers, while secrets are stored, and on a server that was off for two rotations", {
  timeout: 4 * TIMEOUT_MS,
}, async () => {
  const a = await start("a");
  for (const name of ["b", "c"]) await joinAs(name, a);
  const b = await start("b");
  const names = Array.from({ length: SECRETS }, (_, index) => `secret${index}`);
  for (const name of names) await put(a, name);
  const original = await storedKey("a");
  await readRecords(original);
  await expireCertificate("c");

  let isRotating = true;
  let stored = 0;
  const storing = (async () => {
    for (; isRotating; stored += 1) {
      await put(a, `later${stored}`);
      // During the rotation, too, an unchanged content is no new version.
      const { outcome } = await put(b, names[stored % SECRETS] ?? "");
      expect(outcome?.kind).toBe(FileOutcome_Kind.UNCHANGED);
    }
  })();
  const second = await rotate(b);
  isRotating = false;
  await storing;
  expect(stored).toBeGreaterThan(0);
  await put(a, "settings", FileKind.CONFIG);
  for (const name of ["a", "b"])
    expect((await storedKey(name)).versions.map(({ id }) => id)).toEqual([second]);
  const records = await readRecords(await storedKey("a"));
  const files = records.filter(({ kind }) => kind === "put-file");
  expect(files).toHaveLength(SECRETS + stored + 1);
  await expect(readRecords(original)).rejects.toThrow(/a different cluster key/);

  const third = await rotate(a);
  expect(third).not.toBe(second);
  // Its certificate has expired, and it has not had the key that could issue another one for two rotations.
  const c = await start("c");
  expect((await storedKey("c")).versions.map(({ id }) => id)).toEqual([third]);
  for (const server of [a, b]) await server.stop();
  await eventually(
    "the third server leads",
    async () => (await c.calls.getFile({ kind: FileKind.CONFIG, name: "settings" })).content.length > 0,
    TIMEOUT_MS,
  );
  const { content } = await c.calls.getFile({ kind: FileKind.CONFIG, name: "settings" });
  expect(content).toEqual(contentOf("settings"));
  const { leaf } = (await openIdentity("c")).rpc.current;
  expect(certificateFacts(parseCertificate(leaf?.certificate ?? "")).notAfterMs).toBeGreaterThan(Date.now());
  const summaries: string[] = [];
  for await (const { message } of c.calls.streamAudit(StreamAuditRequest.fromPartial({})))
    if (message?.$case === "record") summaries.push(message.value.summary);
  expect(summaries.filter((summary) => summary === "created the next cluster key")).toHaveLength(2);
});
