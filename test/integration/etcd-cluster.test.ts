import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type EmbeddedEtcd,
  startEmbeddedEtcd,
} from "../../packages/control-plane/src/store/embedded/embedded-etcd.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import { readOne } from "../../packages/control-plane/src/store/read.js";
import { eventually } from "../harness/eventually.js";

const KEY = "/berth/v1/meta/schema";
const logger = pino({ level: "silent" });
const signal = new AbortController().signal;

let folder: string;
let members: readonly string[];
let cleanUps: (() => Promise<void> | void)[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-cluster-"));
  // The ports of a cluster are fixed, so each process has its own loopback addresses.
  const [a, b] = [(process.pid >> 8) & 0xff, process.pid & 0xff];
  members = [58, 59, 60].map((host) => `127.${host}.${a}.${b}`);
  cleanUps = [() => rmSync(folder, { recursive: true, force: true })];
});
afterEach(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
});

async function start(self: string): Promise<EmbeddedEtcd> {
  const etcd = await startEmbeddedEtcd(
    { dataDir: join(folder, self), cluster: { self, members }, logger },
    signal,
  );
  cleanUps.push(() => etcd.stop());
  return etcd;
}

/** Returns a store that calls only this member. */
function storeOf({ endpoints: [own] }: EmbeddedEtcd): EtcdStore {
  const store = new EtcdStore({ endpoints: [own] });
  cleanUps.push(() => store.close());
  return store;
}

async function write(store: EtcdStore, value: string): Promise<void> {
  await eventually(`${value} is written`, async () => {
    const outcome = await store.txn({ ops: [{ kind: "put", key: KEY, value }] }, signal);
    return outcome.kind === "committed";
  });
}

function etcdctl(host: string, ...args: string[]): string {
  return execFileSync("etcdctl", ["--endpoints", `http://${host}:7404`, ...args], {
    env: { ...process.env, ETCDCTL_API: "3" },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
}

describe("startEmbeddedEtcd() as a member of a cluster", () => {
  it("keeps its data while any one member is down and replicates it to a returning member", async () => {
    const [first, second, third] = await Promise.all(members.map(start));
    if (!first || !second || !third) throw new Error("a member is missing");
    await write(storeOf(first), "one");
    await first.stop();
    const survivor = storeOf(second);
    expect((await readOne(survivor, KEY, signal))?.value).toBe("one");
    await write(survivor, "two");
    const back = await start(members[0] ?? "");
    await third.stop();
    const again = storeOf(back);
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
    const id = new RegExp(`^(\\w+), \\w+, berth-${self},`, "m").exec(etcdctl(other, "member", "list"))?.[1];
    etcdctl(other, "member", "remove", id ?? "");
    // etcd refuses a new member until it has seen the other members healthy for some seconds.
    await eventually("etcd accepts the new member", () =>
      etcdctl(other, "member", "add", `berth-${self}`, `--peer-urls=http://${self}:7403`),
    );
    rmSync(join(folder, self), { recursive: true, force: true });
    const replaced = await start(self);
    await write(storeOf(replaced), "three");
  });

  it("moves its leadership to the first endpoint of a store and keeps accepting writes", async () => {
    const etcds = await Promise.all(members.map(start));
    const endpoints = etcds.map(({ endpoints: [own] }) => own);
    for (const index of [0, 1, 2]) {
      const [first = "", ...others] = [...endpoints.slice(index), ...endpoints.slice(0, index)];
      const store = new EtcdStore({ endpoints: [first, ...others] });
      cleanUps.push(() => store.close());
      await write(store, `before ${index}`);
      const moves = [await store.moveLeader(signal), await store.moveLeader(signal)];
      expect(moves[1]).toBe(false);
      await write(store, `after ${index}`);
      const status = etcdctl(members[index] ?? "", "endpoint", "status", "-w", "json");
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
