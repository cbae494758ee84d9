import { BerthError, ImageUploadStart, type PushImageRequest, type PushImageResponse } from "@berth/proto";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type PushedContent, type PushProgress, pushContent } from "./push-content.js";

const { signal } = new AbortController();
const LAYER = { digest: `sha256:${"a".repeat(64)}`, offset: 0 };
const LOST = new BerthError({ code: "BERTH_NODE_UNREACHABLE", message: "node h1 did not store web:1" });

/** Longer than all pauses between attempts. */
const ALL_PAUSES_MS = 10_000;

/** What each push does after it has asked for the layer. */
let outcomes: (BerthError | "stored")[];
let pushes: number;

beforeEach(() => {
  vi.useFakeTimers();
  pushes = 0;
});
afterEach(() => {
  vi.useRealTimers();
});

async function* pushImage(requests: AsyncIterable<PushImageRequest>): AsyncGenerator<PushImageResponse> {
  pushes += 1;
  const outcome = outcomes.shift();
  if (outcome === undefined) throw LOST;
  const incoming = requests[Symbol.asyncIterator]();
  await incoming.next();
  yield { message: { $case: "needed", value: { layers: [LAYER] } } };
  await incoming.next();
  if (outcome !== "stored") throw outcome;
  yield { message: { $case: "stored", value: { nodeHostname: "h2" } } };
}

async function push(nodes: readonly string[] = []): Promise<PushProgress> {
  const content: PushedContent = {
    start: ImageUploadStart.fromPartial({ image: "web:1" }),
    nodes,
    messages: async function* () {
      yield { $case: "data", value: Buffer.from("layer") };
    },
  };
  const pushing = pushContent({ pushImage }, content, () => {}, signal);
  pushing.catch(() => {});
  await vi.advanceTimersByTimeAsync(ALL_PAUSES_MS);
  return pushing;
}

test("pushContent continues with another node when the selected one dies", async () => {
  outcomes = [LOST, "stored"];
  expect(await push()).toMatchObject({ storedOn: ["h2"], neededLayers: 1 });
  expect(pushes).toBe(2);
});

test("pushContent gives up after three nodes, and at once when the nodes are given or another error occurs", async () => {
  outcomes = [LOST, LOST, LOST, "stored"];
  await expect(push()).rejects.toBe(LOST);
  expect(pushes).toBe(3);
  pushes = 0;
  outcomes = [LOST, "stored"];
  await expect(push(["h1"])).rejects.toBe(LOST);
  const invalid = new BerthError({ code: "BERTH_IMAGE_INVALID", message: "the digest is wrong" });
  outcomes = [invalid, "stored"];
  await expect(push()).rejects.toBe(invalid);
  // No node was selected.
  outcomes = [];
  await expect(push()).rejects.toBe(LOST);
  expect(pushes).toBe(3);
});
