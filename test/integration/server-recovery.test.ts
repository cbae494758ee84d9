import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  ControlServiceService,
  FileKind,
  JoinKind,
  Server_State as State,
  StreamAuditRequest,
} from "@berth/proto";
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

const directory = mkdtempSync(join(tmpdir(), "berth-server-recovery-"));
const cleanUps: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
const servers = new Map<Name, ServerProcess>();
/** Names of the configs whose creation was confirmed. */
const confirmed: string[] = [];

/** The ports of members are fixed, so each server has a loopback address of its own. */
function hostOf(name: Name): string {
  return `127.${90 + NAMES.indexOf(name)}.${(process.pid >> 8) & 0xff}.${process.pid & 0xff}`;
}

const dataDirOf = (name: Name): string => join(directory, name);
const socketOf = (name: Name): string => join(directory, `${name}-run`, "server.sock");
const addressOf = (name: Name): string => `${hostOf(name)}:7400`;

function argumentsOf(name: Name): readonly string[] {
  const paths = ["--data-dir", dataDirOf(name), "--socket", socketOf(name)];
  return [...paths, "--listen", addressOf(name), "--http", "127.0.0.1:0"];
}

async function start(name: Name): Promise<void> {
  const server = await startServerProcess(argumentsOf(name));
  servers.set(name, server);
  cleanUps.push(() => server.kill());
}

function adminOf(name: Name): Control {
  const connection = createRpcClient(ControlServiceService, { socket: socketOf(name) });
  cleanUps.push(() => connection.close());
  return connection.calls;
}

/** Runs a program of a server until it exits. */
async function run(args: readonly string[], stdin = ""): Promise<{ code: number | null; text: string }> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
  child.stdin.end(stdin);
  await once(child, "close");
  return { code: child.exitCode, text };
}

const recover = (name: Name, ...args: readonly string[]) =>
  run(["recover", "--data-dir", dataDirOf(name), ...args]);

async function joinCluster(name: Name, through: Name): Promise<void> {
  const { token } = await eventually("the leader creates a token", () =>
    adminOf(through).createJoinToken({
      kind: JoinKind.SERVER,
      ttlMs: 60 * 60_000,
      uses: 1,
      hostname: "",
      requiresApproval: false,
      labels: {},
      replaceOthers: false,
    }),
  );
  const args = ["join", addressOf(through), "--token-file", "-", "--data-dir", dataDirOf(name)];
  expect(await run(args, `${token}\n`)).toMatchObject({ code: 0 });
  await start(name);
}

/** Creates configs one after another until the leader is gone. */
async function createConfigs(admin: Control): Promise<void> {
  const kind = FileKind.CONFIG;
  for (let index = 0; ; index += 1) {
    const name = `config-${index}`;
    const file = { kind, name, content: Buffer.from(name), labels: {}, isTemplate: false, stack: "" };
    try {
      await admin.putFile({ file, createOnly: true, updateOnly: false });
    } catch {
      return;
    }
    confirmed.push(name);
  }
}

async function configsOf(admin: Control): Promise<readonly string[]> {
  const { files } = await admin.listFiles({ kind: FileKind.CONFIG, stack: "" });
  return files.map(({ name }) => name);
}

beforeAll(async () => {
  await openServerIdentity({ dataDir: dataDirOf("a"), nowMs: Date.now(), newId: systemRuntime.newId });
  await start("a");
  await joinCluster("b", "a");
  await joinCluster("c", "a");
});
afterAll(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
});

test("refuses to recover while the server runs, and while the others are a quorum", async () => {
  expect(await recover("c", "--yes")).toMatchObject({
    code: 1,
    text: expect.stringContaining("in use by process"),
  });
  await servers.get("c")?.kill();
  expect(await recover("c", "--yes", "--force")).toMatchObject({
    code: 1,
    text: expect.stringContaining("a quorum of the 3 servers is running"),
  });
  await start("c");
});

test("continues alone with all confirmed changes after the quorum was lost, and the lost servers do not come back", async () => {
  const creating = createConfigs(adminOf("a"));
  await eventually("changes are confirmed", () => confirmed.length > 10);
  await Promise.all([servers.get("a")?.kill(), servers.get("b")?.kill()]);
  await creating;
  await servers.get("c")?.kill();

  const plan = await recover("c");
  expect(plan).toMatchObject({ code: 2, text: expect.stringContaining("use --yes") });
  expect(plan.text).toContain(`${hostOf("a")}: not running`);
  expect(plan.text).toContain(`${hostOf("b")}: not running`);
  const result = await recover("c", "--yes");
  expect(result, result.text).toMatchObject({ code: 0 });
  const [copy = ""] = readdirSync(dataDirOf("c")).filter((name) => name.startsWith("before-recovery-"));
  expect(readdirSync(join(dataDirOf("c"), copy, "member", "wal")).length).toBeGreaterThan(0);

  await start("c");
  const admin = adminOf("c");
  const configs = await eventually("the survivor leads", () => configsOf(admin));
  expect(configs).toEqual(expect.arrayContaining(confirmed));
  console.info(`${confirmed.length} confirmed changes, ${configs.length} present`);
  const recoveries: string[] = [];
  for await (const { message } of admin.streamAudit(StreamAuditRequest.fromPartial({})))
    if (message?.$case === "record" && message.value.method === "RecoverServer")
      recoveries.push(message.value.server);
  expect(recoveries).toEqual([hostOf("c")]);
  const { servers: listed, voters } = await admin.listServers({});
  expect(listed.map(({ server }) => server?.address)).toEqual([addressOf("c")]);
  expect(voters).toBe(1);

  // Start both at once: with their data, they were a quorum of the former cluster.
  const returned = await Promise.all([run(argumentsOf("a")), run(argumentsOf("b"))]);
  for (const { code, text } of returned) {
    expect(code, text).toBe(1);
    expect(text).toContain("the other servers have removed the etcd member of this server");
    expect(text).not.toContain("elected leader");
  }
  await joinCluster("d", "c");
  await eventually("the new server has a vote", async () => {
    const { servers: all, runningVoters } = await admin.listServers({});
    return all.length === 2 && runningVoters === 2 && all.every(({ server }) => server?.state === State.UP);
  });
  expect(await configsOf(adminOf("d"))).toEqual(expect.arrayContaining(confirmed));
});
