import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { inspect } from "node:util";
import { gunzipSync, gzipSync } from "node:zlib";
import { type BackupSummary, BerthError, FileVersion, Node } from "@berth/proto";
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createClusterKey } from "../identity/cluster-key.js";
import { createSealedAuthority } from "../identity/sealed-authority.js";
import type { ClusterSecrets } from "../identity/server-directory.js";
import { type Change, changeKey, encodeValue } from "../state/change.js";
import { LEADER_KEY, SCHEMA_KEY } from "../store/keys.js";
import { ManualClock } from "../testing/manual-clock.js";
import { MemoryStore } from "../testing/memory-store/memory-store.js";
import { type BackupKey, type BackupProtection, decrypt, encrypt } from "./age.js";
import { type BackupPart, FORMAT_VERSION } from "./backup-format.js";
import { inspectBackup, readBackup } from "./read-backup.js";
import { writeBackup } from "./write-backup.js";

const PASSPHRASE = "correct horse battery";
const signal = new AbortController().signal;
const NOW_MS = Date.UTC(2026, 10, 1);

let directory: string;
/** Of the owner of the backups in these tests: a passphrase takes seconds. */
let identity: string;
let recipient: string;
let key: BackupKey;
let secrets: ClusterSecrets;
let store: MemoryStore;
let file: string;
let summary: BackupSummary;

async function put(change: Change): Promise<void> {
  const op = { kind: "put", key: changeKey(change), value: encodeValue(change) ?? "" } as const;
  await store.txn({ ops: [op] }, signal);
}

async function createBackup(name: string, protection: BackupProtection): Promise<BackupSummary> {
  const path = join(directory, name);
  const options = { store, secrets, protection, generation: 7, servers: ["10.0.0.1:7400"], nowMs: NOW_MS };
  const bytes = writeBackup(options, signal);
  const chunks: Uint8Array[] = [];
  let next = await bytes.next();
  for (; next.done !== true; next = await bytes.next()) chunks.push(next.value);
  await writeFile(path, Buffer.concat(chunks));
  return next.value;
}

async function readParts(path: string, by = key): Promise<readonly BackupPart[]> {
  const parts: BackupPart[] = [];
  for await (const part of readBackup({ path, key: by })) parts.push(part);
  return parts;
}

/** Writes a backup with this text. */
async function writeText(name: string, text: string): Promise<string> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  const path = join(directory, name);
  await writeFile(path, await encrypter.encrypt(gzipSync(text)));
  return path;
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-backup-"));
  identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
  key = { kind: "identities", identities: [identity] };
  const clusterKey = createClusterKey();
  secrets = { clusterKey, etcdAuthorities: [await createSealedAuthority(clusterKey, "berth-test", NOW_MS)] };
  store = new MemoryStore({ clock: new ManualClock() });
  await store.txn({ ops: [{ kind: "put", key: SCHEMA_KEY, value: "1" }] }, signal);
  const authority = await createSealedAuthority(clusterKey, "berth-test", NOW_MS);
  await put({ kind: "put-authority", authority });
  await put({ kind: "put-node", node: Node.fromPartial({ id: "n1" }) });
  const sealedContent = Buffer.alloc(200_000, 7);
  await put({ kind: "put-file", file: FileVersion.fromPartial({ id: "f1", sealedContent }) });
  const { leaseId } = await store.leases.grant(5, signal);
  await store.txn({ ops: [{ kind: "put", key: LEADER_KEY, value: "{}", leaseId }] }, signal);
  summary = await createBackup("backup", { kind: "recipients", recipients: [recipient] });
  file = join(directory, "backup");
});

afterAll(() => rm(directory, { recursive: true }));

test("a backup has all records as they are in etcd and the secrets, but no leased key", async () => {
  const [header, clusterSecrets, ...records] = await readParts(file);
  expect(header).toMatchObject({
    header: { cluster: "berth-test", generation: 7, createdAtMs: NOW_MS, servers: ["10.0.0.1:7400"] },
  });
  expect(clusterSecrets).toEqual({ kind: "secrets", secrets });
  expect(records.at(-1)).toEqual({ kind: "end", records: 4 });
  const keys = records.flatMap((part) => (part.kind === "record" ? [part.record.key] : []));
  expect(keys).toContain(SCHEMA_KEY);
  expect(keys).not.toContain(LEADER_KEY);
  expect(await inspectBackup({ path: file, key })).toEqual(summary);
  expect(summary).toMatchObject({ records: { nodes: 1, files: 1, authorities: 1 }, cluster: "berth-test" });
  expect(summary.authority).toMatch(/^[0-9a-f]{64}$/);
});

test("the age library opens a backup with its passphrase, and another passphrase does not", async () => {
  await createBackup("passphrase", { kind: "passphrase", passphrase: PASSPHRASE });
  const path = join(directory, "passphrase");
  const text = gunzipSync(await decryptWhole(path, (by) => by.addPassphrase(PASSPHRASE))).toString();
  expect(JSON.parse(text.slice(0, text.indexOf("\n")))).toMatchObject({ format: "berth-backup", version: 1 });
  const wrong: BackupKey = { kind: "passphrase", passphrase: "another passphrase" };
  await expect(readParts(path, wrong)).rejects.toThrow(`cannot read the backup ${path}: wrong passphrase`);
  await expect(readParts(path)).rejects.toThrow("encrypted with a passphrase");
});

test("a backup for public keys opens with each of the private keys only", async () => {
  const identities = [await generateX25519Identity(), await generateX25519Identity()];
  const recipients = await Promise.all(identities.map(identityToRecipient));
  await createBackup("keys", { kind: "recipients", recipients });
  const path = join(directory, "keys");
  for (const identity of identities) {
    expect(await readParts(path, { kind: "identities", identities: [identity] })).toHaveLength(7);
  }
  const other = { kind: "identities", identities: [await generateX25519Identity()] } as const;
  await expect(readParts(path, other)).rejects.toMatchObject({
    code: "BERTH_BACKUP_INVALID",
    message: expect.stringContaining("none of the private keys decrypts it"),
  });
  const passphrase: BackupKey = { kind: "passphrase", passphrase: PASSPHRASE };
  await expect(readParts(path, passphrase)).rejects.toThrow("for a public key; use --identity-file");
  await expect(
    readParts(path, { kind: "identities", identities: ["AGE-SECRET-KEY-1X"] }),
  ).rejects.toMatchObject({
    code: "BERTH_INPUT_INVALID",
    message: expect.not.stringContaining("SECRET-KEY-1X"),
  });
});

test("a private key that was given as a recipient is refused, and the error does not contain it", async () => {
  const create = createBackup("private", { kind: "recipients", recipients: [identity] });
  const error = await create.catch((cause: unknown) => cause);
  expect(error).toMatchObject({ code: "BERTH_INPUT_INVALID" });
  expect(inspect(error, { depth: null })).not.toContain(identity.slice(0, 40));
  expect(inspect(error)).toContain("a private key was given as a public key");
});

test("a work factor that would take minutes is named in the error", async () => {
  const path = join(directory, "slow");
  const base64 = (bytes: number): string => Buffer.alloc(bytes).toString("base64").replace(/=+$/, "");
  const stanza = `-> scrypt ${base64(16)} 22\n${base64(32)}\n--- ${base64(32)}\n`;
  await writeFile(path, `age-encryption.org/v1\n${stanza}${"\0".repeat(16)}`);
  await expect(readParts(path, { kind: "passphrase", passphrase: PASSPHRASE })).rejects.toThrow(
    "its scrypt work factor is 22, and berth accepts at most 20",
  );
});

test("decrypt() closes its source when the key does not fit", async () => {
  const bytes = await readFile(file);
  let isClosed = false;
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield bytes;
    } finally {
      isClosed = true;
    }
  }
  await expect(
    decrypt("backup", source(), { kind: "passphrase", passphrase: PASSPHRASE }),
  ).rejects.toMatchObject({ code: "BERTH_BACKUP_INVALID" });
  expect(isClosed).toBe(true);
});

test("a read error in the middle of a backup is not reported as damage", async () => {
  const plaintext = Readable.from([randomBytes(300_000)]);
  const ciphertext = await encrypt(plaintext, { kind: "recipients", recipients: [recipient] });
  const readError = new BerthError({ code: "BERTH_INPUT_INVALID", message: "cannot read the backup: EIO" });
  async function* failingSource(): AsyncGenerator<Uint8Array> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of ciphertext) chunks.push(chunk);
    yield Buffer.concat(chunks).subarray(0, 200_000);
    throw readError;
  }
  const read = async (): Promise<void> => {
    for await (const _chunk of await decrypt("backup", failingSource(), key));
  };
  await expect(read()).rejects.toBe(readError);
});

test("a truncated, a changed and a foreign file are refused", async () => {
  const whole = await readFile(file);
  const path = join(directory, "changed");
  for (let bytes = 0; bytes < whole.length; bytes += Math.max(1, Math.floor(whole.length / 40))) {
    await writeFile(path, whole.subarray(0, bytes));
    await expect(readParts(path), `${bytes} bytes`).rejects.toMatchObject({ code: "BERTH_BACKUP_INVALID" });
    const changed = Buffer.from(whole);
    changed.writeUInt8(changed.readUInt8(bytes) ^ 1, bytes);
    await writeFile(path, changed);
    await expect(readParts(path), `byte ${bytes}`).rejects.toMatchObject({ code: "BERTH_BACKUP_INVALID" });
  }
  await writeFile(path, whole.subarray(0, whole.length - 1));
  await expect(readParts(path)).rejects.toThrow("it is damaged or truncated");
  await writeFile(path, "services: {}");
  await expect(readParts(path)).rejects.toThrow("does not start with the header of an age file");
  await expect(readParts(join(directory, "missing"))).rejects.toMatchObject({ code: "BERTH_INPUT_INVALID" });
});

test("a newer format version is refused with the release that wrote it, and other content with its problem", async () => {
  const header = {
    format: "berth-backup",
    version: FORMAT_VERSION + 1,
    cluster: "c",
    createdAtMs: 1,
    revision: 1,
    generation: 0,
    berthVersion: "9.9.9",
    servers: [],
  };
  const newer = await writeText("newer", `${JSON.stringify(header)}\n`);
  await expect(readParts(newer)).rejects.toMatchObject({
    code: "BERTH_UNSUPPORTED",
    message: expect.stringMatching(/format version 2, .* reads version 1; use release 9\.9\.9 or newer$/),
  });
  const first = JSON.stringify({ ...header, version: FORMAT_VERSION });
  const text = gunzipSync(await decryptWhole(file, (by) => by.addIdentity(identity))).toString();
  const key = text.split("\n")[1];
  const { etcdAuthority, ...others } = JSON.parse(key ?? "");
  const retiring = JSON.stringify({
    ...others,
    etcdAuthority: { ...etcdAuthority, state: "STATE_RETIRING" },
  });
  const record = JSON.stringify({ kind: "record", key: "/berth/v1/nodes/n", value: "{}" });
  const cases = [
    ["{}\n", "it is not a berth backup"],
    [`${first}\n`, "its end is missing"],
    [`${first}\n${record}\n`, "it contains no cluster key"],
    [`${first}\n${retiring}\n`, "its cluster key or authority is damaged"],
    [`${first}\n${key}\n${record}\n`, "its end is missing"],
    [`${first}\n${key}\n${record}\n{"kind":"end","records":2}\n`, "it contains 1 records instead of 2"],
    [`${first}\n${key}\n{"kind":"end","records":0}\n${record}\n`, "it continues after its end"],
    [`${first}\n${key}\n{"kind":"record","key":"/other","value":""}\n`, "a record is damaged"],
    [`${first}\n${key}\n{"kind":"end","records":0}`, "its end is missing"],
  ] as const;
  for (const [content, problem] of cases) {
    await expect(readParts(await writeText("other", content))).rejects.toMatchObject({
      code: "BERTH_BACKUP_INVALID",
      message: expect.stringContaining(problem),
    });
  }
});

test("short passphrases and unknown keys are refused before anything is read", async () => {
  const refused = [
    [{ kind: "passphrase", passphrase: "short" }, "the passphrase has 5 characters; use 12 to 1024"],
    [{ kind: "recipients", recipients: [] }, "0 recipients"],
    [{ kind: "recipients", recipients: ["ssh-ed25519 AAAA"] }, 'invalid public key "ssh-ed25519 AAAA"'],
  ] as const;
  for (const [protection, message] of refused) {
    await expect(createBackup("none", protection)).rejects.toMatchObject({
      code: "BERTH_INPUT_INVALID",
      message: expect.stringContaining(message),
    });
  }
});

async function decryptWhole(path: string, unlockBy: (decrypter: Decrypter) => void): Promise<Uint8Array> {
  const decrypter = new Decrypter();
  unlockBy(decrypter);
  return decrypter.decrypt(await readFile(path));
}
