import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { systemRuntime } from "../runtime/runtime.js";
import { createKeyVersion } from "./cluster-key.js";
import { openAuthority } from "./sealed-authority.js";
import { openServerIdentity, type ServerIdentity } from "./server-identity.js";

const NOW_MS = Date.parse("2026-01-01T00:00:00Z");

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "berth-held-key-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const open = (name: string): Promise<ServerIdentity> =>
  openServerIdentity({ dataDir: join(root, name), nowMs: NOW_MS, newId: systemRuntime.newId });

const fileOf = (name: string, file: string): string => join(root, name, "identity", file);

/** Checks that the authorities of a server open with its key, in memory and again from its files. */
async function expectOpenable(name: string, running: ServerIdentity): Promise<void> {
  for (const identity of [running, await open(name)]) {
    const { clusterKey, etcdAuthorities, firstAuthority } = identity;
    for (const authority of [...etcdAuthorities, firstAuthority]) {
      expect(authority && openAuthority(clusterKey, authority).key).toContain("PRIVATE KEY");
    }
  }
}

it("stores the next key, forgets the earlier one when it is promoted, and encrypts its files again", async () => {
  const identity = await open("a");
  const { current } = identity.clusterKey;
  const next = await identity.heldKey.reserveNext();
  expect((await open("a")).clusterKey.versions).toEqual([current, next]);
  await identity.heldKey.promoteNext();
  expect(identity.clusterKey.versions).toEqual([next]);
  expect((await open("a")).clusterKey.versions).toEqual([next]);
  await expectOpenable("a", identity);
  const text = await readFile(fileOf("a", "cluster.key"), "utf8");
  expect(text).not.toContain(current.bytes.toString("hex"));
});

it("has files that open after a crash at any time of a promotion, which can then be repeated or replaced", async () => {
  const identity = await open("before");
  await identity.heldKey.setNext(createKeyVersion());
  await cp(join(root, "before"), join(root, "after"), { recursive: true });
  await (await open("after")).heldKey.promoteNext();
  // A promotion writes in this order, so a crash leaves a prefix of the list.
  const written = ["authority.json", "etcd-authority.json", "cluster.key"];
  for (const count of [0, 1, 2, 3]) {
    for (const name of [`repeated-${count}`, `replaced-${count}`]) {
      await cp(join(root, "before"), join(root, name), { recursive: true });
      for (const file of written.slice(0, count)) await cp(fileOf("after", file), fileOf(name, file));
    }
    const repeated = await open(`repeated-${count}`);
    await repeated.heldKey.promoteNext();
    expect(repeated.clusterKey.versions).toEqual((await open("after")).clusterKey.versions);
    await expectOpenable(`repeated-${count}`, repeated);
    // The cluster has been rotated again while this server was off.
    const replaced = await open(`replaced-${count}`);
    const later = createKeyVersion();
    await replaced.heldKey.setNext(later);
    await expectOpenable(`replaced-${count}`, replaced);
    await replaced.heldKey.promoteNext();
    expect(replaced.clusterKey.versions).toEqual([later]);
    await expectOpenable(`replaced-${count}`, replaced);
  }
});

it("drops a key that no rotation uses, unless it is reserved for one", async () => {
  const { heldKey, clusterKey } = await open("a");
  const reserved = await heldKey.reserveNext();
  await heldKey.dropNext();
  expect(clusterKey.next).toEqual(reserved);
  heldKey.release();
  await heldKey.dropNext();
  expect(clusterKey.next).toBeUndefined();
  expect((await open("a")).clusterKey.next).toBeUndefined();
});
