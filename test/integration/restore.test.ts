import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Restore, Restore_State, ServiceSpec } from "@berth/proto";
import { certificateFacts, parseCertificate } from "@berth/proto/identity";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterAll, beforeAll, expect, test } from "vitest";
import { restoreBackup } from "../../packages/control-plane/src/backup/restore-backup.js";
import { writeBackup } from "../../packages/control-plane/src/backup/write-backup.js";
import { SCHEMA } from "../../packages/control-plane/src/core/schema/migrations.js";
import { buildNode } from "../../packages/control-plane/src/core/testing/records.js";
import { createClusterKey } from "../../packages/control-plane/src/identity/cluster-key.js";
import { createSealedAuthority } from "../../packages/control-plane/src/identity/sealed-authority.js";
import { openServerIdentity } from "../../packages/control-plane/src/identity/server-identity.js";
import { type Change, changeKey, encodeValue } from "../../packages/control-plane/src/state/change.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import { ROOT } from "../../packages/control-plane/src/store/keys.js";
import { readAll } from "../../packages/control-plane/src/store/read.js";
import { ensureSchema } from "../../packages/control-plane/src/store/schema.js";
import { ManualClock } from "../../packages/control-plane/src/testing/manual-clock.js";
import { MemoryStore } from "../../packages/control-plane/src/testing/memory-store/memory-store.js";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";

const CLUSTER = "berth-test";
/** More than fit into one transaction. */
const NODES = 250;
/** The revision of etcd in the backup, as if it were far ahead. */
const FORMER_GENERATION = 4e15;
const signal = new AbortController().signal;

let directory: string;
let etcd: TestEtcd;
let store: MemoryStore;
let options: Omit<Parameters<typeof restoreBackup>[0], "dataDir">;

async function put(change: Change): Promise<void> {
  const op = { kind: "put", key: changeKey(change), value: encodeValue(change) ?? "" } as const;
  await store.txn({ ops: [op] }, signal);
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-restore-"));
  etcd = await startTestEtcd();
  store = new MemoryStore({ clock: new ManualClock() });
  const clusterKey = createClusterKey();
  const [authority, etcdAuthority] = [
    await createSealedAuthority(clusterKey, CLUSTER, Date.now()),
    await createSealedAuthority(clusterKey, CLUSTER, Date.now()),
  ];
  await ensureSchema(store, SCHEMA.versions, signal);
  await put({ kind: "put-authority", authority });
  for (let index = 0; index < NODES; index += 1)
    await put({ kind: "put-node", node: buildNode({ id: `n${index}` }) });
  const spec = ServiceSpec.fromPartial({ name: "db", atMostOne: true });
  await put({ kind: "put-revision", serviceId: "s1", version: 1, spec });
  await put({
    kind: "put-restore",
    name: "cluster",
    restore: Restore.fromPartial({ generation: FORMER_GENERATION, state: Restore_State.COMPLETE }),
  });
  const identity = await generateX25519Identity();
  const file = join(directory, "backup.age");
  const protection = { kind: "recipients", recipients: [await identityToRecipient(identity)] } as const;
  const secrets = { clusterKey, etcdAuthorities: [etcdAuthority] };
  const chunks: Uint8Array[] = [];
  const written = {
    store,
    secrets,
    protection,
    generation: FORMER_GENERATION,
    servers: [],
    nowMs: Date.now(),
  };
  for await (const chunk of writeBackup(written, signal)) chunks.push(chunk);
  await writeFile(file, Buffer.concat(chunks));
  options = {
    path: file,
    key: { kind: "identities", identities: [identity] },
    force: false,
    onProgress: () => {},
  };
});

afterAll(async () => {
  await etcd.close();
  await rm(directory, { recursive: true });
});

const open = (dataDir: string) => openServerIdentity({ dataDir, nowMs: Date.now(), newId: () => "x" });

test("an interrupted restore does not start as a server, can be repeated, and is then complete", async () => {
  const dataDir = join(directory, "embedded");
  const interrupt = new AbortController();
  const steps: string[] = [];
  const onProgress = (step: string): void => {
    steps.push(step);
    if (step.startsWith("waiting")) interrupt.abort(new Error("interrupted"));
  };
  await expect(restoreBackup({ ...options, dataDir, onProgress }, interrupt.signal)).rejects.toThrow();
  expect(steps.at(-1)).toBe("waiting until all hosts have stopped their at-most-one tasks");
  await expect(open(dataDir)).rejects.toMatchObject({
    code: "BERTH_IDENTITY_INVALID",
    message: expect.stringContaining("was interrupted"),
  });

  const summary = await restoreBackup({ ...options, dataDir }, signal);
  expect(summary).toMatchObject({ cluster: CLUSTER, records: { nodes: NODES, revisions: 1 } });
  const { rpc, servers, firstAuthority } = await open(dataDir);
  expect(certificateFacts(parseCertificate(rpc.current.leaf?.certificate ?? ""))).toMatchObject({
    cluster: CLUSTER,
    identity: { kind: "server" },
  });
  expect([servers, firstAuthority]).toEqual([[], undefined]);
  await expect(restoreBackup({ ...options, dataDir }, signal)).rejects.toMatchObject({
    code: "BERTH_INPUT_INVALID",
    message: expect.stringContaining("it contains the data of a cluster"),
  });
}, 60_000);

test("a restore writes all records into an empty external etcd, with a higher generation", async () => {
  const external = { endpoints: [etcd.endpoint] } as const;
  const dataDir = join(directory, "external");
  const before = Date.now();
  await restoreBackup({ ...options, dataDir, etcd: external }, signal);
  const target = new EtcdStore(external);
  const [expected, restored] = [
    await readAll(store, { prefix: ROOT }, signal),
    await readAll(target, { prefix: ROOT }, signal),
  ];
  target.close();
  const restoreKey = `${ROOT}restores/cluster`;
  const pick = (entries: typeof expected.entries): ReadonlyMap<string, string> =>
    new Map(entries.map(({ key, value }) => [key, value]));
  const values = new Map(pick(restored.entries));
  const record = Restore.fromJSON(JSON.parse(values.get(restoreKey) ?? "{}"));
  expect(record.state).toBe(Restore_State.PENDING);
  expect(record.restoredAtMs).toBeGreaterThanOrEqual(before);
  expect(record.generation).toBeGreaterThan(FORMER_GENERATION);
  values.delete(restoreKey);
  const originals = new Map(pick(expected.entries));
  originals.delete(restoreKey);
  expect(values).toEqual(originals);
  await expect(
    restoreBackup({ ...options, dataDir: join(directory, "again"), etcd: external }, signal),
  ).rejects.toMatchObject({
    code: "BERTH_INPUT_INVALID",
    message: expect.stringContaining("use an empty etcd"),
  });
}, 60_000);
