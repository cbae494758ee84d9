import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ImageSource } from "@berth/proto";
import type { RpcTransport } from "@berth/proto/rpc";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ImagePeers } from "./image-peers.js";
import { fetchLayers } from "./layer-fetcher.js";
import { LayerStore } from "./layer-store.js";

const { signal } = new AbortController();
const LAYERS = ["first", "second", "third"].map((text) => Buffer.from(`the ${text} layer of an image`));

type Answer = (layer: Buffer, offset: number) => AsyncGenerator<{ data: Buffer }>;

let directory: string;
let store: LayerStore;
/** What each node answers, by its address. */
let nodes: Map<string, Answer>;
let asked: string[];

const digestOf = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const source = (nodeId: string, layers: readonly string[] = []): ImageSource => ({
  nodeId,
  address: nodeId,
  layers: [...layers],
});

const honest: Answer = async function* (layer, offset) {
  yield { data: layer.subarray(offset) };
};
const lying: Answer = async function* () {
  yield { data: Buffer.from("something else") };
};
/** Sends a part of the layer, and dies. */
const dying: Answer = async function* (layer, offset) {
  yield { data: layer.subarray(offset, offset + 5) };
  throw new Error("the connection broke");
};

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-fetch-"));
  store = new LayerStore(directory, 1_000_000);
  nodes = new Map();
  asked = [];
});

afterEach(() => rm(directory, { recursive: true, force: true }));

function createPeers(): ImagePeers {
  const connect = (_: unknown, { address }: { readonly address: string }) => ({
    close: () => {},
    calls: {
      async *readLayer({ digest, offset }: { readonly digest: string; readonly offset: number }) {
        asked.push(`${address} ${offset}`);
        const layer = LAYERS.find((each) => digestOf(each) === digest);
        const answer = nodes.get(address);
        if (layer === undefined || answer === undefined) throw new Error("the node does not respond");
        yield* answer(layer, offset);
      },
    },
  });
  // Agents of the release before have no downloads.
  const download = async (): Promise<boolean> => false;
  return new ImagePeers({ connect, download } as unknown as RpcTransport);
}

async function fetch(sources: readonly ImageSource[], layers: readonly Buffer[] = LAYERS): Promise<number> {
  let bytes = 0;
  const digests = layers.map(digestOf);
  const onBytes = (count: number): void => {
    bytes += count;
  };
  await fetchLayers({ layers: digests, sources, peers: createPeers(), store, onBytes }, signal);
  expect(await Promise.all(digests.map((digest) => store.sizeOf(digest)))).toEqual(
    layers.map(({ length }) => length),
  );
  return bytes;
}

test("fetchLayers spreads the layers over all sources", async () => {
  nodes.set("n1", honest).set("n2", honest);
  const bytes = await fetch([source("n1"), source("n2")]);
  expect(bytes).toBe(LAYERS.reduce((sum, { length }) => sum + length, 0));
  expect(asked.sort()).toEqual(["n1 0", "n1 0", "n2 0"]);
});

test("fetchLayers continues with another source where a dying one has stopped", async () => {
  nodes.set("n1", dying).set("n2", honest);
  await fetch([source("n1"), source("n2")], LAYERS.slice(0, 1));
  expect(asked).toEqual(["n1 0", "n2 5"]);
});

test("fetchLayers discards a layer with another content, and takes it from another source", async () => {
  nodes.set("n1", lying).set("n2", honest);
  await fetch([source("n1"), source("n2")], LAYERS.slice(0, 1));
  expect(asked).toEqual(["n1 0", "n2 0"]);
});

test("fetchLayers asks only sources that have the layer", async () => {
  nodes.set("n1", honest).set("n2", honest);
  const [first, ...others] = LAYERS.map(digestOf);
  await fetch([source("n1", others), source("n2", [first ?? ""])], LAYERS.slice(0, 1));
  expect(asked).toEqual(["n2 0"]);
});

test("fetchLayers fails with the reasons of all sources, and at once without any", async () => {
  await expect(fetch([], LAYERS.slice(0, 1))).rejects.toThrow(/no connected node has it/);
  nodes.set("n1", lying);
  await expect(fetch([source("n1"), source("n2")], LAYERS.slice(0, 1))).rejects.toMatchObject({
    code: "BERTH_NODE_UNREACHABLE",
    message: expect.stringMatching(/n1: invalid image: .*; n2: the node does not respond/),
  });
});

test("fetchLayers fetches layers that are announced one by one, and ends with the first that cannot be had", async () => {
  nodes.set("n1", honest);
  const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = LAYERS;
  let announce = (): void => {};
  const announced = new Promise<void>((resolve) => {
    announce = resolve;
  });
  const layers = async function* (): AsyncGenerator<string> {
    yield digestOf(first);
    await announced;
    yield digestOf(second);
    yield digestOf(first);
  };
  const options = { sources: [source("n1")], peers: createPeers(), store, onBytes: () => {} };
  const fetching = fetchLayers({ ...options, layers: layers() }, signal);
  await expect.poll(() => store.sizeOf(digestOf(first))).toBe(first.length);
  announce();
  await fetching;
  expect(asked).toEqual(["n1 0", "n1 0"]);

  const broken = async function* (): AsyncGenerator<string> {
    yield digestOf(first);
    throw new Error("the upload has ended");
  };
  await expect(fetchLayers({ ...options, layers: broken() }, signal)).rejects.toThrow("the upload has ended");
});
