import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { IdentityFolder } from "@berth/proto/identity";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { certificateAddresses } from "../../packages/control-plane/src/store/embedded/cluster.js";
import {
  type EmbeddedEtcd,
  startEmbeddedEtcd,
} from "../../packages/control-plane/src/store/embedded/embedded-etcd.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import type { EtcdTls, EtcdTlsFiles } from "../../packages/control-plane/src/store/etcd-tls.js";
import { readOne } from "../../packages/control-plane/src/store/read.js";
import { EtcdAuthority } from "../../packages/control-plane/src/testing/etcd-authority.js";
import { etcdctl } from "../harness/etcdctl.js";
import { eventually } from "../harness/eventually.js";

const KEY = "/berth/v1/meta/schema";
const logger = pino({ level: "silent" });
const signal = new AbortController().signal;

interface Identity {
  readonly files: EtcdTlsFiles;
  readonly tls: EtcdTls;
}

let folder: string;
let members: readonly string[];
/** Undefined for a cluster without TLS. */
let authority: EtcdAuthority | undefined;
let identities: Map<string, Identity>;
let cleanUps: (() => Promise<void> | void)[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-cluster-"));
  // The ports of a cluster are fixed, so each process has its own loopback addresses.
  const [a, b] = [(process.pid >> 8) & 0xff, process.pid & 0xff];
  members = [58, 59, 60].map((host) => `127.${host}.${a}.${b}`);
  identities = new Map();
  cleanUps = [() => rmSync(folder, { recursive: true, force: true })];
});
afterEach(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
});

/** Returns the identity of a member; undefined for a cluster without TLS. */
async function identityOf(self: string): Promise<Identity | undefined> {
  const existing = identities.get(self);
  if (existing !== undefined || authority === undefined) return existing;
  const identityFolder = await IdentityFolder.open(join(folder, "identities", self));
  const tls = await authority.issueTo(identityFolder, { id: self, addresses: certificateAddresses(self) });
  const identity = { files: identityFolder.paths, tls };
  identities.set(self, identity);
  return identity;
}

async function start(self: string): Promise<EmbeddedEtcd> {
  const identity = await identityOf(self);
  const etcd = await startEmbeddedEtcd(
    { dataDir: join(folder, self), cluster: { self, members }, tls: identity?.files, logger },
    signal,
  );
  cleanUps.push(() => etcd.stop());
  return etcd;
}

/** Returns a store that calls only these members. */
function storeOf(...endpoints: readonly [string, ...string[]]): EtcdStore {
  const [identity] = identities.values();
  const store = new EtcdStore({ endpoints, tls: identity?.tls });
  cleanUps.push(() => store.close());
  return store;
}

async function write(store: EtcdStore, value: string): Promise<void> {
  await eventually(`${value} is written`, async () => {
    const outcome = await store.txn({ ops: [{ kind: "put", key: KEY, value }] }, signal);
    return outcome.kind === "committed";
  });
}

function urlOf(host: string, port: number): string {
  return `${authority === undefined ? "http" : "https"}://${host}:${port}`;
}

/** Runs etcdctl with the identity of a member. */
function runEtcdctl(host: string, ...args: string[]): string {
  return etcdctl({ endpoint: urlOf(host, 7404), tls: identities.get(host)?.files }, ...args);
}

describe.each([
  { mode: "without TLS", createAuthority: async () => undefined },
  { mode: "with TLS", createAuthority: () => EtcdAuthority.create() },
])("startEmbeddedEtcd() as a member of a cluster $mode", ({ createAuthority }) => {
  beforeEach(async () => {
    authority = await createAuthority();
  });

  it("keeps its data while any one member is down and replicates it to a returning member", async () => {
    const [first, second, third] = await Promise.all(members.map(start));
    if (!first || !second || !third) throw new Error("a member is missing");
    await write(storeOf(first.endpoints[0]), "one");
    await first.stop();
    const survivor = storeOf(second.endpoints[0]);
    expect((await readOne(survivor, KEY, signal))?.value).toBe("one");
    await write(survivor, "two");
    const back = await start(members[0] ?? "");
    await third.stop();
    const again = storeOf(back.endpoints[0]);
    await eventually("the returning member has the data", async () => {
      return (await readOne(again, KEY, signal))?.value === "two";
    });
  });

  it("explains how to replace a member that has lost its data and accepts the replacement", async () => {
    const [self = "", other = ""] = members;
    const [first] = await Promise.all(members.map(start));
    await first?.stop();
    rmSync(join(folder, self), { recursive: true });
    await expect(start(self)).rejects.toMatchObject({
      code: "BERTH_ETCD_FAILED",
      message: expect.stringMatching(/member remove ID.*member add/s),
    });
    const id = new RegExp(`^(\\w+), \\w+, berth-${self},`, "m").exec(
      runEtcdctl(other, "member", "list"),
    )?.[1];
    runEtcdctl(other, "member", "remove", id ?? "");
    // etcd refuses a new member until it has seen the other members healthy for some seconds.
    await eventually("etcd accepts the new member", () =>
      runEtcdctl(other, "member", "add", `berth-${self}`, `--peer-urls=${urlOf(self, 7403)}`),
    );
    rmSync(join(folder, self), { recursive: true, force: true });
    const replaced = await start(self);
    await write(storeOf(replaced.endpoints[0]), "three");
  });

  it("moves its leadership to the first endpoint of a store and keeps accepting writes", async () => {
    const etcds = await Promise.all(members.map(start));
    const endpoints = etcds.map(({ endpoints: [own] }) => own);
    for (const index of [0, 1, 2]) {
      const [first = "", ...others] = [...endpoints.slice(index), ...endpoints.slice(0, index)];
      const store = storeOf(first, ...others);
      await write(store, `before ${index}`);
      const moves = [await store.moveLeader(signal), await store.moveLeader(signal)];
      expect(moves[1]).toBe(false);
      await write(store, `after ${index}`);
      const status = runEtcdctl(members[index] ?? "", "endpoint", "status", "-w", "json");
      const [{ Status }] = JSON.parse(status);
      expect(Status.leader).toBe(Status.header.member_id);
      if (index > 0) expect(moves[0]).toBe(true);
    }
  });

  it("refuses the data of a single server", async () => {
    const [self = ""] = members;
    const dataDir = join(folder, "alone");
    const alone = await startEmbeddedEtcd({ dataDir, logger }, signal);
    await alone.stop();
    const joining = startEmbeddedEtcd({ dataDir, cluster: { self, members }, logger }, signal);
    await expect(joining).rejects.toMatchObject({
      code: "BERTH_INPUT_INVALID",
      message: expect.stringContaining("a single server"),
    });
  });
});

describe("startEmbeddedEtcd() with the data of a cluster without TLS", () => {
  it("refuses to start with TLS", async () => {
    authority = undefined;
    const etcds = await Promise.all(members.map(start));
    await Promise.all(etcds.map((etcd) => etcd.stop()));
    authority = await EtcdAuthority.create();
    await expect(start(members[0] ?? "")).rejects.toMatchObject({
      code: "BERTH_INPUT_INVALID",
      message: expect.stringMatching(
        /belongs to a cluster without TLS, but this server was started with TLS/,
      ),
    });
  });
});
