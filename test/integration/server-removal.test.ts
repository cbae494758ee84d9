import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ControlServiceService, JoinKind, type ServerStatus, Server_State as State } from "@berth/proto";
import { createRpcClient, type RpcConnection } from "@berth/proto/rpc";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { openServerIdentity } from "../../packages/control-plane/src/identity/server-identity.js";
import { systemRuntime } from "../../packages/control-plane/src/runtime/runtime.js";
import { eventually } from "../harness/eventually.js";
import { type ServerProcess, startServerProcess } from "../harness/server-process.js";

type Control = RpcConnection<typeof ControlServiceService>["calls"];

const PROGRAM = fileURLToPath(new URL("../harness/server-process.mjs", import.meta.url));

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const NAMES = ["a", "b", "c", "d"] as const;
type Name = (typeof NAMES)[number];

const directory = mkdtempSync(join(tmpdir(), "berth-server-removal-"));
const cleanUps: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
const servers = new Map<Name, ServerProcess>();

/** The ports of members are fixed, so each server has a loopback address of its own. */
function hostOf(name: Name): string {
  return `127.${80 + NAMES.indexOf(name)}.${(process.pid >> 8) & 0xff}.${process.pid & 0xff}`;
}

const dataDirOf = (name: Name): string => join(directory, name);
const socketOf = (name: Name): string => join(directory, `${name}-run`, "server.sock");
const addressOf = (name: Name): string => `${hostOf(name)}:7400`;

function argumentsOf(name: Name): readonly string[] {
  const paths = ["--data-dir", dataDirOf(name), "--socket", socketOf(name)];
  return [...paths, "--listen", addressOf(name), "--http", "127.0.0.1:0", "--log-level", "warn"];
}

async function start(name: Name): Promise<void> {
  const server = await startServerProcess([...argumentsOf(name), "--log-level", "info"]);
  servers.set(name, server);
  cleanUps.push(() => server.kill());
}

/** Connects to a server as the administrator of its host. */
function adminOf(name: Name): Control {
  const connection = createRpcClient(ControlServiceService, { socket: socketOf(name) });
  cleanUps.push(() => connection.close());
  return connection.calls;
}

/** Runs a program of a server until it exits. */
async function run(args: readonly string[], stdin = ""): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ["pipe", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdin.end(stdin);
  await once(child, "close");
  return { code: child.exitCode, stderr };
}

function createToken(kind: JoinKind, admin: Control): Promise<string> {
  return eventually("the leader creates a token", async () => {
    const { token } = await admin.createJoinToken({
      kind,
      ttlMs: 60 * 60_000,
      uses: 1,
      hostname: "",
      requiresApproval: false,
      labels: {},
      replaceOthers: false,
    });
    return token;
  });
}

async function joinCluster(name: Name, admin: Control): Promise<void> {
  const token = await createToken(JoinKind.SERVER, admin);
  const args = ["join", addressOf("a"), "--token-file", "-", "--data-dir", dataDirOf(name)];
  expect(await run(args, `${token}\n`)).toMatchObject({ code: 0 });
  await start(name);
}

async function statusOf(name: Name, admin: Control): Promise<ServerStatus | undefined> {
  const { servers: all } = await admin.listServers({});
  return all.find(({ server }) => server?.address === addressOf(name));
}

/** Waits until the cluster lists exactly these servers, all of them up and with a vote. */
function waitForServers(names: readonly Name[], admin: Control): Promise<unknown> {
  return eventually(`the servers ${names.join(", ")} are up`, async () => {
    const { servers: all, voters, runningVoters } = await admin.listServers({});
    const up = all.filter(({ server }) => server?.state === State.UP);
    const addresses = all.map(({ server }) => server?.address).sort();
    return (
      JSON.stringify(addresses) === JSON.stringify(names.map(addressOf).sort()) &&
      up.length === names.length &&
      voters === names.length &&
      runningVoters === names.length
    );
  });
}

beforeAll(async () => {
  const first = { dataDir: dataDirOf("a"), nowMs: Date.now(), newId: systemRuntime.newId };
  await openServerIdentity(first);
  await start("a");
  await joinCluster("b", adminOf("a"));
  await joinCluster("c", adminOf("a"));
  await waitForServers(["a", "b", "c"], adminOf("a"));
});
afterAll(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
});

test("lists each server with its version, its role, its etcd member and the end of its certificate", async () => {
  const status = await statusOf("b", adminOf("a"));
  expect(status).toMatchObject({
    isLeader: false,
    etcd: { isLearner: false, hasStarted: true, isRunning: true },
  });
  expect(status?.version).not.toBe("");
  expect(status?.certificateExpiresAtMs).toBeGreaterThan(Date.now());
  expect(await statusOf("a", adminOf("a"))).toMatchObject({ isLeader: true });
});

test("refuses to remove a server that is up without force, and one without which etcd has no quorum", async () => {
  const admin = adminOf("a");
  await expect(admin.removeServer({ server: addressOf("b"), force: false })).rejects.toMatchObject({
    code: "BERTH_SERVER_IN_USE",
    message: expect.stringContaining("it is up"),
  });
  await servers.get("c")?.kill();
  await eventually("the loss of the third server is listed", async () => {
    const status = await statusOf("c", admin);
    return status?.server?.state === State.DOWN && status.etcd?.isRunning === false;
  });
  await expect(admin.removeServer({ server: addressOf("b"), force: true })).rejects.toMatchObject({
    code: "BERTH_SERVER_IN_USE",
    message: expect.stringContaining(`remove the server of https://${hostOf("c")}:7403 first`),
  });
  expect(await statusOf("b", admin)).toMatchObject({ server: { state: State.UP } });
});

test("lets a server join while another one is down, and removes the dead one", async () => {
  const admin = adminOf("a");
  await joinCluster("d", admin);
  const dead = await statusOf("c", admin);
  const request = { server: addressOf("c"), force: false };
  const { serverId } = await admin.removeServer(request);
  expect(serverId).toBe(dead?.server?.id);
  expect(await admin.removeServer({ server: serverId, force: false })).toEqual({ serverId });
  await waitForServers(["a", "b", "d"], admin);
  const { servers: known } = await admin.getCluster({});
  expect(known).toEqual([addressOf("a"), addressOf("b"), addressOf("d")]);
});

test("stops a removed server that comes back with the reason, and keeps its data", async () => {
  for (let starts = 0; starts < 2; starts += 1) {
    const { code, stderr } = await run(argumentsOf("c"));
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining("berth server join") });
    expect(stderr).toMatch(/removed (from its cluster|the etcd member of this server)/);
  }
  expect(existsSync(join(dataDirOf("c"), "member", "wal"))).toBe(true);
  const args = ["join", addressOf("a"), "--token-file", "-", "--data-dir", dataDirOf("c")];
  expect(await run(args, "no token")).toMatchObject({ code: 2 });
});

test("hands over the leadership when the leader is removed, and the removed server stops", async () => {
  const leader = servers.get("a");
  if (leader === undefined) throw new Error("the leader is not running");
  const exited = once(leader.process, "exit");
  const admin = adminOf("b");
  // If the leader stops before it has answered, this server repeats the call with the next leader.
  await admin.removeServer({ server: addressOf("a"), force: true });
  expect(await exited).toEqual([1, null]);
  await waitForServers(["b", "d"], admin);
  const { leaderAddress } = await admin.getCluster({});
  expect([addressOf("b"), addressOf("d")]).toContain(leaderAddress);
  expect(await run(argumentsOf("a"))).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("this server was removed from its cluster"),
  });
});

test("removes the leader of two servers, and refuses to remove the last", async () => {
  const { leaderAddress } = await adminOf("b").getCluster({});
  const [removed, last] = leaderAddress === addressOf("b") ? (["b", "d"] as const) : (["d", "b"] as const);
  const leader = servers.get(removed);
  if (leader === undefined) throw new Error("the leader is not running");
  const exited = once(leader.process, "exit");
  const admin = adminOf(last);
  // The leader can stop before it has answered. Then the other server repeats the call as the next leader.
  await admin.removeServer({ server: addressOf(removed), force: true });
  expect(await exited).toEqual([1, null]);
  await waitForServers([last], admin);
  await expect(admin.removeServer({ server: addressOf(last), force: true })).rejects.toMatchObject({
    code: "BERTH_SERVER_IN_USE",
    message: expect.stringContaining("no other server is up"),
  });
  // It still accepts changes.
  expect(await createToken(JoinKind.NODE, admin)).toMatch(/^berth-node-/);
});
