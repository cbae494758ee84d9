import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LayerStore } from "./layer-store.js";

const { signal } = new AbortController();
const LAYER = Buffer.from("a layer of an image");
const DIGEST = digestOf(LAYER);

let directory: string;
let store: LayerStore;

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

async function put(bytes: Buffer): Promise<void> {
  const writer = await store.write(digestOf(bytes), signal);
  await writer?.write(bytes);
  await writer?.finish();
}

async function read(offset: number): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of store.read(DIGEST, offset)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-layers-"));
  store = new LayerStore(directory, 1_000);
});

afterEach(() => rm(directory, { recursive: true, force: true }));

test("LayerStore returns a complete layer from any offset", async () => {
  await put(LAYER);
  expect(await store.sizeOf(DIGEST)).toBe(LAYER.length);
  expect([await read(0), await read(8)]).toEqual(["a layer of an image", "of an image"]);
  expect(await store.write(DIGEST, signal)).toBeUndefined();
});

test("LayerStore continues an interrupted transfer, also in a later run of the agent", async () => {
  const first = await store.write(DIGEST, signal);
  await first?.write(LAYER.subarray(0, 7));
  await first?.suspend();
  expect(await store.sizeOf(DIGEST)).toBeUndefined();
  store = new LayerStore(directory, 1_000);
  expect(await store.partialSizeOf(DIGEST)).toBe(7);
  const second = await store.write(DIGEST, signal);
  expect(second?.offset).toBe(7);
  await second?.write(LAYER.subarray(7));
  await second?.finish();
  expect(await read(0)).toBe(LAYER.toString());
});

test("LayerStore removes a layer with another content, and accepts the right one afterwards", async () => {
  const writer = await store.write(DIGEST, signal);
  await writer?.write(Buffer.from("something else"));
  await expect(writer?.finish()).rejects.toMatchObject({ code: "BERTH_IMAGE_INVALID" });
  expect(await readdir(directory)).toEqual([]);
  await put(LAYER);
  expect(await store.sizeOf(DIGEST)).toBe(LAYER.length);
});

test("LayerStore lets one transfer write a layer, and the other one use it", async () => {
  const first = await store.write(DIGEST, signal);
  const second = store.write(DIGEST, signal);
  await first?.write(LAYER);
  await first?.finish();
  expect(await second).toBeUndefined();
  const leaving = new AbortController();
  const other = await store.write(digestOf(Buffer.from("b")), signal);
  const waiting = store.write(digestOf(Buffer.from("b")), leaving.signal);
  leaving.abort(new Error("the task is gone"));
  await expect(waiting).rejects.toThrow("the task is gone");
  await other?.suspend();
});

test("LayerStore removes the layers that were used least recently when they exceed the limit", async () => {
  const layers = ["a", "b", "c"].map((text) => Buffer.alloc(400, text));
  for (const layer of layers) {
    await put(layer);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await store.sizeOf(digestOf(layers[0] ?? LAYER));
  await store.trim();
  const sizes = await Promise.all(layers.map((layer) => store.sizeOf(digestOf(layer))));
  expect(sizes).toEqual([400, undefined, 400]);
});

test("LayerStore refuses names that are no digests, and transfers that would fill the disk", async () => {
  await expect(store.sizeOf("sha256:../../etc/passwd")).rejects.toMatchObject({
    code: "BERTH_IMAGE_INVALID",
  });
  await expect(store.requireRoom(2 ** 60)).rejects.toMatchObject({ code: "BERTH_DISK_FAILED" });
  await store.requireRoom(0);
});

test("LayerStore names a layer of unknown digest, and cleans up what a crash has left", async () => {
  async function* content() {
    yield LAYER;
  }
  expect(await store.add(content())).toBe(DIGEST);
  async function* broken() {
    yield LAYER;
    throw new Error("Docker has stopped");
  }
  await expect(store.add(broken())).rejects.toThrow("Docker has stopped");
  await store.clean();
  expect(await readdir(directory)).toEqual([DIGEST.slice("sha256:".length)]);
});

test("LayerStore refuses a layer that is larger than its limit", async () => {
  store = new LayerStore(directory, 1_000, LAYER.length - 1);
  const writer = await store.write(DIGEST, signal);
  await expect(writer?.write(LAYER)).rejects.toThrow(/is larger than 1 MiB$/);
  await writer?.suspend();
});

test("LayerStore removes what is not kept and was not used, and keeps the rest", async () => {
  const [kept, unused] = [Buffer.from("kept"), Buffer.from("unused")];
  for (const layer of [kept, unused]) await put(layer);
  const partial = await store.write(DIGEST, signal);
  await partial?.suspend();
  const isKept = (digest: string): boolean => digest === digestOf(kept);
  expect(await store.removeUnused(isKept, Date.now() - 60_000)).toEqual([]);
  expect([...(await store.removeUnused(isKept, Date.now() + 60_000))].sort()).toEqual(
    [digestOf(unused), DIGEST].sort(),
  );
  expect(await store.list()).toMatchObject([{ digest: digestOf(kept), bytes: 4 }]);
});

test("LayerStore writes and reads layers of several buffers, in parts of any size", async () => {
  const layer = randomBytes(1_000_000);
  const writer = await store.write(digestOf(layer), signal);
  for (let start = 0, size = 1; start < layer.length; start += size, size *= 3)
    await writer?.write(layer.subarray(start, start + size));
  await writer?.finish();
  for (const offset of [0, 300_000]) {
    const received: Buffer[] = [];
    // As a socket, it needs the buffer until it calls back.
    const output = new Writable({
      write: (chunk: Buffer, _, done) => {
        setImmediate(() => {
          received.push(Buffer.from(chunk));
          done();
        });
      },
    });
    await store.writeTo(output, digestOf(layer), offset);
    expect(Buffer.concat(received).equals(layer.subarray(offset))).toBe(true);
  }
});

test("LayerStore removes no layers while a transfer needs them", async () => {
  await put(LAYER);
  const interrupted = await store.write(digestOf(Buffer.from("other")), signal);
  await interrupted?.write(Buffer.from("ot"));
  await interrupted?.suspend();
  const release = store.hold();
  expect(await store.removeUnused(() => false, Number.POSITIVE_INFINITY)).toEqual([]);
  release();
  expect(await store.removeUnused(() => false, Number.POSITIVE_INFINITY)).toHaveLength(2);
  expect(await readdir(directory)).toEqual([]);
});
