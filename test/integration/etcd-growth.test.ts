import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ControlServiceService } from "@berth/proto";
import { IdentityDirectory } from "@berth/proto/identity";
import { type RpcHandlers, rpcService, startRpcServer } from "@berth/proto/rpc";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  addEtcdMember,
  promoteEtcdMember,
} from "../../packages/control-plane/src/api/servers/etcd-members.js";
import { MembershipChanges } from "../../packages/control-plane/src/api/servers/membership-changes.js";
import { LEARNER_TIMEOUT_MS } from "../../packages/control-plane/src/core/membership/etcd-membership.js";
import { systemClock } from "../../packages/control-plane/src/runtime/clock.js";
import {
  certificateAddresses,
  hasEtcdData,
  MEMBER_PORTS,
  peerUrl,
} from "../../packages/control-plane/src/store/embedded/cluster.js";
import {
  type EmbeddedEtcd,
  startEmbeddedEtcd,
} from "../../packages/control-plane/src/store/embedded/embedded-etcd.js";
import type { MembershipRequests } from "../../packages/control-plane/src/store/embedded/membership.js";
import { trackMembers } from "../../packages/control-plane/src/store/embedded/track-members.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import type { EtcdTls } from "../../packages/control-plane/src/store/etcd-tls.js";
import { readAll, readOne } from "../../packages/control-plane/src/store/read.js";
import { EtcdAuthority } from "../../packages/control-plane/src/testing/etcd-authority.js";
import { etcdctl } from "../harness/etcdctl.js";
import { eventually, eventuallyPasses } from "../harness/eventually.js";

const PREFIX = "/berth/v1/test/";
const TIMEOUT_MS = 150_000;
const JOINING_SERVER = fileURLToPath(new URL("../harness/joining-server.mjs", import.meta.url));
const logger = pino({ level: process.env.BERTH_TEST_LOG ?? "silent" });

interface Identity {
  readonly directory: IdentityDirectory;
  readonly tls: EtcdTls;
}

/** An etcd of this process, and a store that knows all members. */
interface Server {
  readonly etcd: EmbeddedEtcd;
  readonly store: EtcdStore;
  readonly tracking: Promise<void>;
}

let directory: string;
let hosts: readonly [string, string, string];
let authority: EtcdAuthority;
let identities: Map<string, Identity>;
let cleanUps: (() => Promise<unknown> | unknown)[];
let signal: AbortSignal;
/** What the leader's clock is ahead. */
let skippedMs: number;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "berth-growth-"));
  // The ports of members are fixed, so each process has its own loopback addresses.
  const [a, b] = [(process.pid >> 8) & 0xff, process.pid & 0xff];
  hosts = [`127.61.${a}.${b}`, `127.62.${a}.${b}`, `127.63.${a}.${b}`];
  authority = await EtcdAuthority.create();
  identities = new Map();
  skippedMs = 0;
  const abort = new AbortController();
  signal = abort.signal;
  cleanUps = [() => rmSync(directory, { recursive: true, force: true }), () => abort.abort()];
});
afterEach(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
});

function dataDirOf(host: string): string {
  return join(directory, host);
}

async function identityOf(host: string): Promise<Identity> {
  const existing = identities.get(host);
  if (existing !== undefined) return existing;
  const identityDirectory = await IdentityDirectory.open(join(directory, "identities", host));
  const tls = await authority.issueTo(identityDirectory, { id: host, addresses: certificateAddresses(host) });
  const identity = { directory: identityDirectory, tls };
  identities.set(host, identity);
  return identity;
}

/** Starts the etcd of a server; of the first server without `requests`. */
async function start(host: string, requests?: MembershipRequests): Promise<Server> {
  const identity = await identityOf(host);
  const { paths } = identity.directory;
  const member = { address: host, requests };
  const etcd = await startEmbeddedEtcd({ dataDir: dataDirOf(host), member, tls: paths, logger }, signal);
  const { tls } = identity;
  const store = new EtcdStore({ endpoints: [etcd.endpoint], tls, callTimeoutMs: 1_000 });
  const tracking = new AbortController();
  const tracked = trackMembers({ store, etcd, clock: systemClock, logger }, tracking.signal);
  const server: Server = { etcd, store, tracking: tracked };
  cleanUps.push(async () => {
    tracking.abort();
    await tracked;
    store.close();
    await etcd.stop();
  });
  return server;
}

/** Returns the requests that the leader executes with a store. */
function leaderOn({ store }: Pick<Server, "store">): MembershipRequests {
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + skippedMs };
  const membership = new MembershipChanges({ members: store.members, clock });
  return {
    add: (url, abort) => addEtcdMember({ peerUrl: url }, { membership }, abort),
    promote: (url, abort) => promoteEtcdMember({ peerUrl: url }, { membership }, abort),
  };
}

async function write(store: EtcdStore, name: string): Promise<void> {
  await eventually(`${name} is written`, async () => {
    const outcome = await store.txn({ ops: [{ kind: "put", key: PREFIX + name, value: name }] }, signal);
    return outcome.kind === "committed";
  });
}

/** Returns the written values. Repeats the call until etcd answers. */
async function namesIn(store: EtcdStore): Promise<readonly string[]> {
  const { entries } = await eventuallyPasses(() => readAll(store, { prefix: PREFIX }, signal));
  return entries.map(({ value }) => value);
}

/** Returns the number of members with a vote. Repeats the call until etcd answers. */
async function votersOf(store: EtcdStore): Promise<number> {
  const members = await eventuallyPasses(() => store.members.list(signal));
  return members.filter(({ isLearner }) => !isLearner).length;
}

/**
 * Writes one value after the other until `stop` is called, which returns the values and the longest time between two.
 */
function writeContinuously(store: EtcdStore): () => Promise<{ written: string[]; longestPauseMs: number }> {
  const written: string[] = [];
  let isStopped = false;
  let longestPauseMs = 0;
  const run = async (): Promise<void> => {
    let previousMs = performance.now();
    for (let index = 0; !isStopped; index += 1) {
      const name = String(index).padStart(6, "0");
      const outcome = await store.txn({ ops: [{ kind: "put", key: PREFIX + name, value: name }] }, signal);
      if (outcome.kind !== "committed") continue;
      written.push(name);
      longestPauseMs = Math.max(longestPauseMs, performance.now() - previousMs);
      previousMs = performance.now();
    }
  };
  const running = run();
  return async () => {
    isStopped = true;
    await running;
    return { written, longestPauseMs };
  };
}

describe("a cluster that grows", () => {
  it("loses no write of a continuous writer, and then survives the loss of one server and restarts", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const first = await start(hosts[0]);
    const requests = leaderOn(first);
    const stop = writeContinuously(first.store);
    const times: number[] = [];
    const joined: Server[] = [];
    for (const host of hosts.slice(1)) {
      const startedAtMs = performance.now();
      joined.push(await start(host, requests));
      times.push(performance.now() - startedAtMs);
    }
    const { written, longestPauseMs } = await stop();
    const rounded = [...times, longestPauseMs].map(Math.round);
    console.info(`joined in ${rounded.slice(0, 2).join(" and ")} ms; longest pause ${rounded[2]} ms`);
    const [second, third] = joined;
    if (second === undefined || third === undefined) throw new Error("a server is missing");
    // A write without an answer may have been stored, too.
    expect(await namesIn(third.store)).toEqual(expect.arrayContaining(written));
    expect(written.length).toBeGreaterThan(0);

    // The store of the first server continues with the other members once it knows them.
    const claimFile = join(dataDirOf(hosts[0]), "berth-server.json");
    await eventually("the first server has recorded the members", () => {
      return JSON.parse(readFileSync(claimFile, "utf8")).members.length === hosts.length;
    });
    await first.etcd.stop();
    await write(first.store, "while-the-first-is-down");
    const again = await start(hosts[0]);
    await eventually("the first has the data again", async () => {
      return (await namesIn(again.store)).includes("while-the-first-is-down");
    });

    await Promise.all([again.etcd.stop(), second.etcd.stop(), third.etcd.stop()]);
    const restarted = await Promise.all([
      start(hosts[0]),
      start(hosts[1], unreachable),
      start(hosts[2], unreachable),
    ]);
    for (const { store } of restarted) expect(await namesIn(store)).toEqual(expect.arrayContaining(written));
    expect(await votersOf(restarted[0].store)).toBe(3);
  });

  it("moves its leadership to the first endpoint of a store, and keeps accepting writes", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const first = await start(hosts[0]);
    const second = await start(hosts[1], leaderOn(first));
    const { directory: files, tls } = await identityOf(hosts[0]);
    const openStore = (own: Server, other: Server): EtcdStore => {
      const store = new EtcdStore({ endpoints: [own.etcd.endpoint, other.etcd.endpoint], tls });
      cleanUps.push(() => store.close());
      return store;
    };
    const stores = [openStore(first, second), openStore(second, first)] as const;
    const moveTo = async (target: Server, [store, other]: readonly [EtcdStore, EtcdStore]): Promise<void> => {
      await other.moveLeader(signal);
      await write(store, "before");
      expect(await store.moveLeader(signal)).toBe(true);
      expect(await store.moveLeader(signal)).toBe(false);
      await write(store, "after");
      const { endpoint } = target.etcd;
      const output = etcdctl({ endpoint, tls: files.paths }, "endpoint", "status", "-w", "json");
      const [{ Status: status }] = JSON.parse(output);
      expect(status.leader).toBe(status.header.member_id);
    };
    // Once more if etcd elects another leader meanwhile, as it does when a busy machine delays its heartbeats.
    await eventuallyPasses(() => moveTo(first, stores));
    await eventuallyPasses(() => moveTo(second, [stores[1], stores[0]]));
  });
});

/** The requests of a server that has joined, while there is no leader. */
const unreachable: MembershipRequests = {
  add: () => Promise.reject(new Error("a server with data must not request a member")),
  promote: () => Promise.reject(new Error("a member with a vote must not request one")),
};

describe("servers that join", () => {
  it("servers that join at once wait for each other", { timeout: TIMEOUT_MS }, async () => {
    const first = await start(hosts[0]);
    const requests = leaderOn(first);
    const reasons: string[] = [];
    const hasWaited = (): boolean => reasons.some((reason) => /servers join one at a time/.test(reason));
    const recorded: MembershipRequests = {
      add: async (url, abort) => {
        const answer = await requests.add(url, abort);
        reasons.push(answer.waitingFor);
        return answer;
      },
      // The first one stays a learner until the other has tried.
      promote: async (url, abort) =>
        hasWaited() ? requests.promote(url, abort) : { waitingFor: "the other server" },
    };
    await Promise.all(hosts.slice(1).map((host) => start(host, recorded)));
    expect(await votersOf(first.store)).toBe(3);
    expect(hasWaited()).toBe(true);
  });

  it("servers that never start do not stop the first server, and make room for others", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const first = await start(hosts[0]);
    const { waitingFor } = await leaderOn(first).add(peerUrl(hosts[1], MEMBER_PORTS), signal);
    expect(waitingFor).toBe("");
    await write(first.store, "beside-a-learner");
    await first.etcd.stop();
    const again = await start(hosts[0]);
    await write(again.store, "after-a-restart");
    const requests = leaderOn(again);
    skippedMs = LEARNER_TIMEOUT_MS + 1_000;
    await start(hosts[2], requests);
    expect(await votersOf(again.store)).toBe(2);
  });

  it("a server joins again when the cluster has removed its learner meanwhile", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const first = await start(hosts[0]);
    const requests = leaderOn(first);
    const never: MembershipRequests = {
      ...requests,
      promote: async () => Promise.reject(new Error("the server stops here")),
    };
    await expect(start(hosts[1], never)).rejects.toThrow("the server stops here");
    expect(hasEtcdData(dataDirOf(hosts[1]))).toBe(true);
    const [learner] = (await first.store.members.list(signal)).filter(({ isLearner }) => isLearner);
    await first.store.members.remove(learner?.id ?? "", signal);
    await start(hosts[1], requests);
    expect(await votersOf(first.store)).toBe(2);
  });

  it("a joining server replaces a member whose data is lost while the others are a quorum", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const first = await start(hosts[0]);
    const requests = leaderOn(first);
    await start(hosts[1], requests);
    const third = await start(hosts[2], requests);
    await third.etcd.stop();
    rmSync(dataDirOf(hosts[2]), { recursive: true });
    await start(hosts[2], requests);
    expect(await votersOf(first.store)).toBe(3);
  });
});

describe("a server with another address", () => {
  it("a server with another address is refused when the cluster has other members", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const first = await start(hosts[0]);
    const second = await start(hosts[1], leaderOn(first));
    await second.etcd.stop();
    const dataDir = dataDirOf(hosts[1]);
    const { directory: files } = await identityOf(hosts[2]);
    // Without a member, etcd listens on loopback.
    for (const [address, member] of [
      [hosts[2], { address: hosts[2], requests: unreachable }],
      ["127.0.0.1", undefined],
    ] as const) {
      const moved = startEmbeddedEtcd({ dataDir, member, tls: files.paths, logger }, signal);
      await expect(moved).rejects.toMatchObject({
        code: "BERTH_INPUT_INVALID",
        message: expect.stringContaining(`but the address of this server is ${address}`),
      });
    }
  });

  it("changes the address of its member while it is alone, and can then be joined", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const dataDir = dataDirOf(hosts[0]);
    const { directory: files } = await identityOf(hosts[0]);
    const alone = await startEmbeddedEtcd({ dataDir, tls: files.paths, logger }, signal);
    await alone.stop();
    const first = await start(hosts[0]);
    await start(hosts[1], leaderOn(first));
    expect(await votersOf(first.store)).toBe(2);
  });
});

describe("a joining server that is killed", () => {
  /** What the leader does after it has executed a request, and before it answers. */
  type Hook = (kind: "add" | "promote", isGranted: boolean) => Promise<void>;

  /** Serves the requests of joining servers over gRPC. Returns the path of the socket. */
  async function serve(requests: MembershipRequests, hook: Hook): Promise<string> {
    const unused = Object.keys(ControlServiceService).map((name) => [name, () => Promise.reject()] as const);
    const handlers: Partial<RpcHandlers<typeof ControlServiceService>> = {
      ...Object.fromEntries(unused),
      addEtcdMember: async ({ peerUrl: url }, context) => {
        const { waitingFor, members } = await requests.add(url, context.signal);
        await hook("add", waitingFor === "");
        return {
          waitingFor,
          members: members.map(({ name, peerUrls }) => ({ name, peerUrls: [...peerUrls] })),
        };
      },
      promoteEtcdMember: async ({ peerUrl: url }, context) => {
        const answer = await requests.promote(url, context.signal);
        await hook("promote", answer.waitingFor === "");
        return answer;
      },
    };
    const services = [
      rpcService(ControlServiceService, handlers as RpcHandlers<typeof ControlServiceService>),
    ];
    const path = join(directory, "server.sock");
    const server = await startRpcServer({ listener: { kind: "unix", path }, services });
    cleanUps.push(() => server.close(0));
    return path;
  }

  async function spawnServer(socket: string): Promise<ChildProcess> {
    const { path } = (await identityOf(hosts[1])).directory;
    const args = [JOINING_SERVER, dataDirOf(hosts[1]), path, hosts[1], socket];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    cleanUps.push(() => kill(child));
    return child;
  }

  async function kill(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  it.each([
    {
      step: "when it was added",
      isReached: (kind: string, isGranted: boolean) => kind === "add" && isGranted,
    },
    { step: "while etcd creates its files", isReached: () => false, killOnFile: "member" },
    { step: "while it copies the data", isReached: (kind: string) => kind === "promote" },
    {
      step: "when it has got its vote",
      isReached: (kind: string, isGranted: boolean) => kind === "promote" && isGranted,
    },
  ])(
    "joins when it is started again: killed $step",
    { timeout: TIMEOUT_MS },
    async ({ isReached, killOnFile }) => {
      const first = await start(hosts[0]);
      await write(first.store, "before");
      let child: ChildProcess | undefined;
      let kills = 0;
      const killChild = async (): Promise<void> => {
        if (child === undefined || kills > 0) return;
        kills += 1;
        await kill(child);
      };
      const socket = await serve(leaderOn(first), async (kind, isGranted) => {
        if (isReached(kind, isGranted)) await killChild();
      });
      child = await spawnServer(socket);
      const exited = once(child, "exit");
      if (killOnFile !== undefined) {
        const file = join(dataDirOf(hosts[1]), killOnFile);
        await eventually("etcd has begun to create its files", () => existsSync(file));
        await killChild();
      }
      await exited;
      expect(kills).toBe(1);

      const again = await spawnServer(socket);
      const [line] = await once(again.stdout ?? again, "data");
      expect(String(line)).toBe("joined\n");
      const { tls } = await identityOf(hosts[1]);
      const store = new EtcdStore({ endpoints: [`https://${hosts[1]}:7404`], tls });
      cleanUps.push(() => store.close());
      expect((await readOne(store, `${PREFIX}before`, signal))?.value).toBe("before");
      expect(await votersOf(store)).toBe(2);
    },
  );
});
