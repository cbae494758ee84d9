import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ControlServiceService, JoinKind } from "@berth/proto";
import { createRpcClient, type RpcConnection } from "@berth/proto/rpc";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openServerIdentity } from "../../packages/control-plane/src/identity/server-identity.js";
import { systemRuntime } from "../../packages/control-plane/src/runtime/runtime.js";
import { eventually } from "../harness/eventually.js";
import { type ServerProcess, startServerProcess } from "../harness/server-process.js";

const PROGRAM = fileURLToPath(new URL("../harness/server-process.mjs", import.meta.url));

let directory: string;
let hosts: readonly [string, string, string];
let cleanUps: (() => unknown)[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "berth-growth-server-"));
  // The ports of members are fixed, so each process has its own loopback addresses.
  const [a, b] = [(process.pid >> 8) & 0xff, process.pid & 0xff];
  hosts = [`127.64.${a}.${b}`, `127.65.${a}.${b}`, `127.66.${a}.${b}`];
  cleanUps = [() => rmSync(directory, { recursive: true, force: true })];
});
afterEach(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
});

const dataDirOf = (host: string): string => join(directory, host);
const socketOf = (host: string): string => join(directory, `${host}-run`, "server.sock");

async function start(host: string): Promise<ServerProcess> {
  const server = await startServerProcess([
    ...["--data-dir", dataDirOf(host), "--socket", socketOf(host), "--listen", `${host}:0`],
  ]);
  cleanUps.push(() => server.kill());
  return server;
}

/** Connects to a server as the administrator of its host. */
function adminOf(host: string): RpcConnection<typeof ControlServiceService>["calls"] {
  const connection = createRpcClient(ControlServiceService, { socket: socketOf(host) });
  cleanUps.push(() => connection.close());
  return connection.calls;
}

/** Runs `berth server join` with a token on standard input. */
async function joinCluster(host: string, address: string, token: string): Promise<void> {
  const args = [PROGRAM, "join", address, "--token-file", "-", "--data-dir", dataDirOf(host)];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "ignore", "inherit"] });
  child.stdin.end(`${token}\n`);
  await once(child, "close");
  expect(child.exitCode).toBe(0);
}

test("servers that joined with a token form an etcd with TLS, which survives the loss of the first server", {
  timeout: 240_000,
}, async () => {
  const [first, ...others] = hosts;
  await openServerIdentity({
    dataDir: dataDirOf(first),
    nowMs: Date.now(),
    newId: systemRuntime.newId,
  });
  const server = await start(first);
  const admin = adminOf(first);
  const tokenRequest = {
    kind: JoinKind.SERVER,
    ttlMs: 60 * 60_000,
    uses: 2,
    hostname: "",
    requiresApproval: false,
    replaceOthers: false,
    labels: {},
  };
  const { token } = await eventually("the leader creates a token", () => admin.createJoinToken(tokenRequest));
  for (const host of others) await joinCluster(host, server.address, token);
  const unreachable = ["--data-dir", dataDirOf(others[0] ?? ""), "--socket", socketOf(first)];
  await expect(startServerProcess(unreachable)).rejects.toThrow("cannot reach it at 127.0.0.1");
  // At once: one of them waits for the other.
  await Promise.all(others.map(start));
  await eventually("the leader knows all servers", async () => {
    return (await admin.getCluster({})).servers.length === hosts.length;
  });

  await server.kill();
  const survivor = adminOf(others[0] ?? "");
  await eventually("another server leads, and writes to etcd", async () => {
    const { leaderAddress } = await survivor.getCluster({});
    await survivor.createJoinToken(tokenRequest);
    return leaderAddress !== server.address;
  });
  await start(first);
});
