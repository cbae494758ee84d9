import { once } from "node:events";
import { existsSync, readdirSync, statSync, watch } from "node:fs";
import { link, mkdir, mkdtemp, rm } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { PeerServiceService } from "../../gen/berth/v1/peer.js";
import type { Caller } from "./caller.js";
import { createRpcClient } from "./client.js";
import { type RpcServer, rpcService, startRpcServer } from "./server.js";
import type { CallContext, RpcHandlers } from "./types.js";

type CheckLeader = RpcHandlers<typeof PeerServiceService>["checkLeader"];

let directory: string;
let path: string;
const cleanUps: (() => unknown)[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-socket-"));
  path = join(directory, "berth", "server.sock");
});
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  await rm(directory, { recursive: true, force: true });
});

async function serve(checkLeader: CheckLeader = async () => ({ reachable: true })): Promise<RpcServer> {
  const service = rpcService(PeerServiceService, {
    checkLeader,
    fetchClusterKey: async () => ({ clusterKey: Buffer.alloc(0) }),
    recordRefusedCalls: async () => ({}),
  });
  const server = await startRpcServer({ listener: { kind: "unix", path }, services: [service] });
  cleanUps.push(() => server.close(0));
  return server;
}

function call(): Promise<{ readonly reachable: boolean }> {
  const client = createRpcClient(PeerServiceService, { socket: path });
  cleanUps.push(() => client.close());
  return client.calls.checkLeader({ epoch: 1 });
}

/** Leaves a socket on which no process listens, as a killed process does. */
async function leaveStaleSocket(): Promise<void> {
  await mkdir(dirname(path));
  const other = createServer().listen(join(directory, "other.sock"));
  await once(other, "listening");
  // Node.js removes only the path on which it has listened.
  await link(join(directory, "other.sock"), path);
  await new Promise((resolve) => other.close(resolve));
}

test("a server listens in a directory whose parent it cannot write to", async () => {
  await mkdir(dirname(path));
  const before = readdirSync(directory);
  const changes: string[] = [];
  const watcher = watch(directory, (_, name) => changes.push(String(name)));
  cleanUps.push(() => watcher.close());
  await serve();
  await setImmediate();
  expect(await call()).toEqual({ reachable: true });
  expect(changes).toEqual([]);
  expect(readdirSync(directory)).toEqual(before);
});

test("a server creates the directory of its socket, which only its user can open", async () => {
  await serve();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(await call()).toEqual({ reachable: true });
});

test("a socket never has a mode with which other users could connect, whatever the umask", async () => {
  const modes = new Set<number>();
  let isListening = false;
  const umask = process.umask(0);
  try {
    const serving = serve().then(() => {
      isListening = true;
    });
    while (!isListening) {
      const found = statSync(path, { throwIfNoEntry: false });
      if (found !== undefined) modes.add(found.mode & 0o777);
      await setImmediate();
    }
    await serving;
  } finally {
    process.umask(umask);
  }
  expect([...modes, statSync(path).mode & 0o777].filter((mode) => mode !== 0o600)).toEqual([]);
  expect(readdirSync(dirname(path))).toEqual(["server.sock"]);
});

test("a server removes its socket when it closes, but not that of its successor", async () => {
  const first = await serve();
  await rm(path);
  const second = await serve();
  await first.close(0);
  expect(await call()).toEqual({ reachable: true });
  await second.close(0);
  expect(existsSync(path)).toBe(false);
});

test("a server does not take the socket of a running server", async () => {
  await serve();
  await expect(serve()).rejects.toMatchObject({
    code: "BERTH_ADDRESS_IN_USE",
    message: expect.stringContaining("another server is running"),
  });
  expect(await call()).toEqual({ reachable: true });
});

test("a server replaces the socket of a server that was killed", async () => {
  await leaveStaleSocket();
  expect(statSync(path).isSocket()).toBe(true);
  await serve();
  expect(await call()).toEqual({ reachable: true });
});

test("a server admits each caller as the administrator of its host", async () => {
  const callers: Caller[] = [];
  const checkLeader = async (_: unknown, { caller }: CallContext) => {
    callers.push(caller);
    return { reachable: true };
  };
  await serve(checkLeader);
  await call();
  expect(callers).toEqual([{ kind: "user", name: "root" }]);
});

test("a server announces the limit of streams to clients of other programs", async () => {
  await serve();
  const session = connectHttp2("http://localhost", { createConnection: () => connect({ path }) });
  cleanUps.push(() => session.destroy());
  const [settings] = await once(session, "remoteSettings");
  expect(settings).toMatchObject({ maxConcurrentStreams: 1_152 });
});
