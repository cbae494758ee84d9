import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ImageQuery, RemoveImages } from "@berth/proto";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ImageEngine } from "../engine/image-engine.js";
import { ImageInventoryResponder } from "./image-inventory.js";
import { LayerStore } from "./layer-store.js";

const { signal } = new AbortController();
const LAYER = Buffer.from("a layer");
const DIGEST = `sha256:${createHash("sha256").update(LAYER).digest("hex")}`;
const NOW_MS = Date.now() + 60_000;

let directory: string;
let store: LayerStore;
let shipped: LayerStore;
let diskUsage: () => Promise<number>;
let responder: ImageInventoryResponder;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-inventory-"));
  store = new LayerStore(join(directory, "layers"), 1_000);
  shipped = new LayerStore(join(directory, "shipped"), 1_000);
  diskUsage = async () => 500;
  const engine = { listImages: async () => [], diskUsage: () => diskUsage() } as unknown as ImageEngine;
  responder = new ImageInventoryResponder({ engine, store, shipped, now: () => NOW_MS, signal });
  const writer = await store.write(DIGEST, signal);
  await writer?.write(LAYER);
  await writer?.finish();
});
afterEach(() => rm(directory, { recursive: true, force: true }));

test("an inventory has the disk usage only if it is requested and Docker knows it", async () => {
  const ask = async (requested: boolean): Promise<unknown> =>
    (await responder.answer(ImageQuery.fromPartial({ all: true, diskUsage: requested }))).diskUsage;
  expect(await ask(false)).toBeUndefined();
  expect(await ask(true)).toEqual({ images: 500, layers: LAYER.length, shipped: 0 });
  diskUsage = () => Promise.reject(new Error("Docker did not respond"));
  expect(await ask(true)).toBeUndefined();
});

test("layers that are kept for other nodes are removed on request, when they are old enough", async () => {
  const remove = async (request: Partial<RemoveImages>): Promise<number> => {
    expect((await responder.remove(RemoveImages.fromPartial(request))).errors).toEqual([]);
    return store.diskUsage();
  };
  expect(await remove({ imageIds: [DIGEST] })).toBe(LAYER.length);
  expect(await remove({ removesLayers: true, minAgeMs: 24 * 60 * 60_000 })).toBe(LAYER.length);
  expect(await remove({ removesLayers: true, minAgeMs: 30_000 })).toBe(0);
});
