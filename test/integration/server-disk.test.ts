import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync, renameSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { ControlServiceService, FileKind, PutFileRequest } from "@berth/proto";
import { createRpcClient, type RpcConnection } from "@berth/proto/rpc";
import { afterEach, beforeEach, expect, test } from "vitest";
import { eventually } from "../harness/eventually.js";
import { type ServerProcess, startServerProcess } from "../harness/server-process.js";
import { mountSmallDisk, type SmallDisk } from "../harness/small-disk.js";

type Calls = RpcConnection<typeof ControlServiceService>["calls"];

/** etcd allocates two log files of 64 MB. */
const SIZE_MIB = 256;
const FILE_BYTES = 400 * 1024;
const BYTES_PER_MIB = 1024 ** 2;

let disk: SmallDisk;
let dataDir: string;
let cleanUps: (() => unknown)[];

beforeEach(() => {
  disk = mountSmallDisk(SIZE_MIB);
  dataDir = join(disk.path, "data");
  cleanUps = [() => disk.remove()];
});
afterEach(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
});

interface StartedServer extends ServerProcess {
  readonly calls: Calls;
  /** Stops the server in good order. */
  stop(): Promise<void>;
}

async function start(...args: string[]): Promise<StartedServer> {
  const server = await startServerProcess(["--data-dir", dataDir, ...args]);
  const connection = createRpcClient(ControlServiceService, { socket: server.socket });
  cleanUps.push(
    () => server.kill(),
    () => connection.close(),
  );
  const stop = async (): Promise<void> => {
    const exited = once(server.process, "exit");
    server.process.kill("SIGTERM");
    await exited;
  };
  return { ...server, calls: connection.calls, stop };
}

async function health({ httpAddress }: ServerProcess): Promise<{ status: number; problems: string }> {
  const response = await fetch(`http://${httpAddress}/healthz`);
  const { problems } = (await response.json()) as { readonly problems: readonly string[] };
  return { status: response.status, problems: problems.join("\n") };
}

const config = (name: string): PutFileRequest =>
  PutFileRequest.fromPartial({ file: { kind: FileKind.CONFIG, name, content: randomBytes(FILE_BYTES) } });

/** Stores configs until the server refuses one. Returns the names of those that it has confirmed. */
async function putConfigsUntilRefused(calls: Calls): Promise<{ confirmed: string[]; refusal: unknown }> {
  const confirmed: string[] = [];
  for (;;) {
    const name = `c${confirmed.length}`;
    try {
      await calls.putFile(config(name));
    } catch (refusal) {
      return { confirmed, refusal };
    }
    confirmed.push(name);
  }
}

async function configNames(calls: Calls): Promise<readonly string[]> {
  const { files } = await calls.listFiles({ kind: FileKind.CONFIG, stack: "" });
  return files.map(({ name }) => name);
}

test("a server with a full disk names the disk in /healthz and to callers, and continues when it has space", {
  timeout: 120_000,
}, async () => {
  const server = await start();
  disk.fill(4 * BYTES_PER_MIB);
  const { confirmed, refusal } = await putConfigsUntilRefused(server.calls);
  expect(String(refusal)).toContain(`the disk of ${dataDir} is full; free some space`);
  await expect
    .poll(() => health(server))
    .toMatchObject({ status: 503, problems: expect.stringContaining(`the disk of ${dataDir} is full`) });

  disk.free();
  await eventually("the server to be healthy", async () => (await health(server)).status === 200);
  await server.calls.putFile(config("after"));
  expect(await configNames(server.calls)).toEqual(expect.arrayContaining([...confirmed, "after"]));
});

test("a server on a read-only disk says so and exits, and starts with its data when it can write", {
  timeout: 120_000,
}, async () => {
  const first = await start();
  await first.calls.putFile(config("kept"));
  await first.stop();
  disk.setReadOnly(true);
  await expect(start()).rejects.toThrow(
    /berth server: cannot use .*\/data.*: the file system is read-only; /,
  );
  disk.setReadOnly(false);
  expect(await configNames((await start()).calls)).toEqual(["kept"]);
});

test("a server whose etcd data is missing or damaged refuses to start, and changes nothing", {
  timeout: 120_000,
}, async () => {
  const first = await start();
  await first.calls.putFile(config("kept"));
  await first.stop();
  const member = join(dataDir, "member");
  const wal = join(member, "wal");

  renameSync(wal, `${wal}.away`);
  await expect(start()).rejects.toThrow(/the etcd data in .* is missing: .*restore a backup/);
  renameSync(member, `${member}.away`);
  await expect(start()).rejects.toThrow(/the etcd data in .* is missing: .*restore a backup/);
  expect(readdirSync(dataDir)).not.toContain("member");
  renameSync(`${member}.away`, member);
  // Without a claim that names the ports, too.
  truncateSync(join(dataDir, "berth-server.json"), 0);
  await expect(start()).rejects.toThrow(/the etcd data in .* is missing/);
  renameSync(`${wal}.away`, wal);

  const database = join(member, "snap", "db");
  renameSync(database, `${database}.away`);
  truncateSync(join(wal, readdirSync(wal).find((name) => name.endsWith(".wal")) ?? ""), 0);
  await expect(start()).rejects.toThrow(/the etcd data in .* is damaged, and berth does not change it/);
  rmSync(`${database}.away`);
});

test("a server whose etcd log was truncated says so, and serves again once the log has caught up", {
  timeout: 180_000,
}, async () => {
  const first = await start();
  const names = Array.from({ length: 20 }, (_, i) => `c${i}`);
  for (const name of names) {
    const file = { kind: FileKind.CONFIG, name, content: Buffer.from(name) };
    await first.calls.putFile(PutFileRequest.fromPartial({ file }));
  }
  await first.stop();
  const wal = join(dataDir, "member", "wal");
  const log = join(wal, readdirSync(wal).find((name) => name.endsWith(".wal")) ?? "");
  // The rest of the file is zero.
  truncateSync(log, Math.floor(readFileSync(log).findLastIndex((byte) => byte !== 0) / 2));
  const server = await start();
  await eventually("the server names the log", async () => {
    const { status, problems } = await health(server);
    return status === 503 && problems.includes(`the log of etcd in ${wal} was truncated`);
  });
  await eventually("the server is healthy", async () => (await health(server)).status === 200, 120_000);
  expect([...(await configNames(server.calls))].sort()).toEqual([...names].sort());
});

test("etcd compacts and defragments its database at its quota, and writes continue by themselves", {
  timeout: 180_000,
}, async () => {
  const server = await start("--etcd-quota", "64m");
  const { calls } = server;
  await calls.putFile(config("kept"));
  // The revisions of removed configs take the space.
  const fill = async (): Promise<unknown> => {
    for (let i = 0; ; i += 1) {
      try {
        await calls.putFile(config(`c${i}`));
        await calls.removeFiles({ kind: FileKind.CONFIG, names: [`c${i}`] });
      } catch (refusal) {
        return refusal;
      }
    }
  };
  expect(await fill()).toMatchObject({ code: "BERTH_STORE_LIMIT" });
  await eventually("etcd to accept writes", () => calls.putFile(config("after")), 60_000);
  expect(await configNames(calls)).toEqual(expect.arrayContaining(["kept", "after"]));
  await expect.poll(() => health(server)).toMatchObject({ status: 200 });
});
