import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  Authority_State as AuthorityState,
  ControlServiceService,
  FileKind,
  JoinKind,
  PutFileRequest,
} from "@berth/proto";
import { readTrust } from "@berth/proto/identity";
import { createRpcClient, type RpcConnection } from "@berth/proto/rpc";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { openServerIdentity } from "../../packages/control-plane/src/identity/server-identity.js";
import { systemRuntime } from "../../packages/control-plane/src/runtime/runtime.js";
import { EtcdHttpClient } from "../../packages/control-plane/src/store/embedded/etcd-http.js";
import type { EtcdTls } from "../../packages/control-plane/src/store/etcd-tls.js";
import { eventually } from "../harness/eventually.js";
import { type ServerProcess, startServerProcess } from "../harness/server-process.js";

type Control = RpcConnection<typeof ControlServiceService>["calls"];

const PROGRAM = fileURLToPath(new URL("../harness/server-process.mjs", import.meta.url));
/** Six restarts of etcd, on a machine that may be too busy to keep a leader. */
const ROTATION_TIMEOUT_MS = 120_000;
const WRITE_TIMEOUT_MS = 90_000;

vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

const NAMES = ["a", "b", "c"] as const;
type Name = (typeof NAMES)[number];

const directory = mkdtempSync(join(tmpdir(), "berth-etcd-ca-"));
const cleanUps: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
const servers = new Map<Name, ServerProcess>();

/** The ports of members are fixed, so each server has a loopback address of its own. */
function hostOf(name: Name): string {
  return `127.${90 + NAMES.indexOf(name)}.${(process.pid >> 8) & 0xff}.${process.pid & 0xff}`;
}

const dataDirOf = (name: Name): string => join(directory, name);
const socketOf = (name: Name): string => join(directory, `${name}-run`, "server.sock");
const addressOf = (name: Name): string => `${hostOf(name)}:7400`;

async function start(name: Name): Promise<void> {
  const paths = ["--data-dir", dataDirOf(name), "--socket", socketOf(name)];
  const server = await startServerProcess([...paths, "--listen", addressOf(name), "--http", "127.0.0.1:0"]);
  servers.set(name, server);
  cleanUps.push(() => server.kill());
}

/** Connects to a server as the administrator of its host. */
function adminOf(name: Name): Control {
  const connection = createRpcClient(ControlServiceService, { socket: socketOf(name) });
  cleanUps.push(() => connection.close());
  return connection.calls;
}

async function joinCluster(name: Name): Promise<void> {
  const { token } = await eventually("the leader creates a token", () =>
    adminOf("a").createJoinToken({
      kind: JoinKind.SERVER,
      ttlMs: 60 * 60_000,
      uses: 1,
      hostname: "",
      requiresApproval: false,
      labels: {},
      replaceOthers: false,
    }),
  );
  const args = ["join", addressOf("a"), "--token-file", "-", "--data-dir", dataDirOf(name)];
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ["pipe", "ignore", "inherit"] });
  child.stdin.end(`${token}\n`);
  await once(child, "close");
  expect(child.exitCode).toBe(0);
  await start(name);
}

async function etcdTlsOf(name: Name): Promise<EtcdTls> {
  const read = (file: string): Promise<string> =>
    readFile(join(dataDirOf(name), "identity/etcd", file), "utf8");
  return {
    certificate: await read("certificate.pem"),
    key: await read("key.pem"),
    authorities: await read("authorities.pem"),
  };
}

/** Returns whether the etcd of a server accepts a certificate. Trusts all of `authorities` itself. */
async function accepts(name: Name, tls: EtcdTls): Promise<boolean> {
  const http = new EtcdHttpClient(tls);
  try {
    return (await http.getStatus(`https://${hostOf(name)}:7404/health`, AbortSignal.timeout(5_000))) === 200;
  } catch {
    return false;
  } finally {
    http.close();
  }
}

/** Rotates the authority of etcd, and waits until the earlier one is gone. Returns the fingerprints. */
async function rotate(admin: Control): Promise<{ readonly earlier: string; readonly next: string }> {
  const [before] = (await admin.listAuthorities({})).etcdAuthorities;
  const { fingerprint: next } = await admin.rotateEtcdAuthority({});
  await eventually(
    "all etcds trust the new authority alone",
    async () => {
      const { etcdAuthorities } = await admin.listAuthorities({});
      return etcdAuthorities.length === 1 && etcdAuthorities[0]?.fingerprint === next;
    },
    ROTATION_TIMEOUT_MS,
  );
  return { earlier: before?.fingerprint ?? "", next };
}

/**
 * Stores configs through all servers until `stop`. Repeats a call that a busy machine has cost its leader, as the
 * command line does. Returns the names that were confirmed.
 */
function writeContinuously(names: readonly Name[]) {
  const confirmed: string[] = [];
  let isStopped = false;
  const running = names.map(async (name) => {
    const admin = adminOf(name);
    for (let count = 0; !isStopped; count += 1) {
      const config = `written-${name}-${count}-${confirmed.length}`;
      const file = { kind: FileKind.CONFIG, name: config, content: Buffer.from("x") };
      const write = () => admin.putFile(PutFileRequest.fromPartial({ file }));
      await eventually("the config is stored", write, WRITE_TIMEOUT_MS);
      confirmed.push(config);
      await delay(20);
    }
  });
  return {
    stop: async () => {
      isStopped = true;
      await Promise.all(running);
      return confirmed;
    },
  };
}

async function storedConfigs(admin: Control): Promise<ReadonlySet<string>> {
  const { files } = await admin.listFiles({ kind: FileKind.CONFIG, stack: "" });
  return new Set(files.map(({ name }) => name));
}

beforeAll(async () => {
  await openServerIdentity({ dataDir: dataDirOf("a"), nowMs: Date.now(), newId: systemRuntime.newId });
  await start("a");
});
afterAll(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
});

test("a rotation of etcd's authority with one server loses no write, and ends the trust in the earlier one", async () => {
  const admin = adminOf("a");
  await eventually("the server leads", () => admin.getCluster({}));
  await eventually("the server has a record", async () => (await admin.listServers({})).servers.length === 1);
  const before = await etcdTlsOf("a");
  const load = writeContinuously(["a"]);
  const { earlier, next } = await rotate(admin);
  const confirmed = await load.stop();
  expect(earlier).not.toBe(next);
  expect(confirmed.length).toBeGreaterThan(0);
  const stored = await storedConfigs(admin);
  expect(confirmed.filter((name) => !stored.has(name))).toEqual([]);
  const after = await etcdTlsOf("a");
  expect(readTrust(after.authorities).authorities.map(({ fingerprint }) => fingerprint)).toEqual([next]);
  await expect.poll(() => accepts("a", after)).toBe(true);
  // The client trusts etcd's new certificate, but etcd does not trust the client's earlier one.
  expect(await accepts("a", { ...before, authorities: after.authorities })).toBe(false);
});

test("a rotation of etcd's authority with three servers loses no write", async () => {
  await joinCluster("b");
  await joinCluster("c");
  const admin = adminOf("b");
  await eventually(
    "all members have a vote",
    async () => (await admin.listServers({})).runningVoters === 3,
    30_000,
  );
  const before = await etcdTlsOf("b");
  const load = writeContinuously(NAMES);
  const { next } = await rotate(admin);
  const confirmed = await load.stop();
  expect(confirmed.length).toBeGreaterThan(0);
  const stored = await storedConfigs(admin);
  expect(confirmed.filter((name) => !stored.has(name))).toEqual([]);
  for (const name of NAMES) {
    const after = await etcdTlsOf(name);
    expect(readTrust(after.authorities).authorities.map(({ fingerprint }) => fingerprint)).toEqual([next]);
    await expect.poll(() => accepts(name, after)).toBe(true);
    expect(await accepts(name, { ...before, authorities: after.authorities })).toBe(false);
  }
});

test("a rotation waits for a server that is down, says so, and can be cancelled", async () => {
  const admin = adminOf("a");
  await servers.get("c")?.kill();
  const [current] = (await admin.listAuthorities({})).etcdAuthorities;
  const { fingerprint } = await eventually("the rotation starts", () => admin.rotateEtcdAuthority({}));
  await eventually("the rotation waits for the server", async () => {
    const { etcdAuthorities } = await admin.listAuthorities({});
    return etcdAuthorities.some(({ waitingFor }) => waitingFor.includes(addressOf("c")));
  });
  await expect(admin.rotateEtcdAuthority({})).rejects.toMatchObject({ code: "BERTH_CONFLICT" });
  await expect(admin.rotateClusterKey({})).rejects.toMatchObject({ code: "BERTH_CONFLICT" });
  const remove = (authority: string) => admin.removeAuthority({ authority, force: true });
  await expect(remove(current?.fingerprint ?? "")).rejects.toMatchObject({ code: "BERTH_AUTHORITY_IN_USE" });
  await remove(fingerprint.slice(0, 12));
  const [, removing] = (await admin.listAuthorities({})).etcdAuthorities;
  expect(removing?.state).toBe(AuthorityState.REMOVING);
  await start("c");
  await eventually(
    "the rotation is cancelled",
    async () => {
      const { etcdAuthorities } = await admin.listAuthorities({});
      return etcdAuthorities.map((each) => each.fingerprint).join() === current?.fingerprint;
    },
    ROTATION_TIMEOUT_MS,
  );
});
