import type { ClusterKeyState } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { type HeldKeyIds, type HeldKeyStep, planHeldKeys } from "./held-keys.js";
import {
  ABANDON_AFTER_MS,
  abandonedRotation,
  finishedRotation,
  type KeyRotationStep,
  planKeyRotation,
  type ServerKeys,
  sealingKeyId,
  sealingState,
  serversWithOthers,
  startedRotation,
} from "./rotation.js";

const NOW_MS = 1_000;
const DISTRIBUTING = startedRotation("k1", "k2", NOW_MS);
const SEALING = sealingState(DISTRIBUTING, NOW_MS);
const ROTATED = finishedRotation(SEALING, NOW_MS);

const server = (address: string, ...keys: readonly string[]): ServerKeys => ({ address, keys });

describe("planKeyRotation()", () => {
  it.each<[string, ClusterKeyState | undefined, readonly ServerKeys[], number, KeyRotationStep]>([
    ["does nothing before the first rotation", undefined, [server("a", "k1")], 0, { kind: "none" }],
    ["does nothing after a rotation", ROTATED, [server("a", "k1", "k2")], 0, { kind: "none" }],
    [
      "waits for every server that runs",
      DISTRIBUTING,
      [server("a", "k1", "k2"), server("b", "k1"), { address: "c", keys: undefined }],
      0,
      { kind: "wait", servers: ["b", "c"] },
    ],
    ["waits until the servers are known", DISTRIBUTING, [], 0, { kind: "wait", servers: [] }],
    [
      "seals once all servers have the next key",
      DISTRIBUTING,
      [server("a", "k1", "k2"), server("b", "k1", "k2")],
      0,
      { kind: "seal" },
    ],
    [
      "waits for a server with the next key that restarts",
      DISTRIBUTING,
      [server("b", "k1")],
      ABANDON_AFTER_MS - 1,
      { kind: "wait", servers: ["b"] },
    ],
    [
      "abandons a key that no server has",
      DISTRIBUTING,
      [server("b", "k1")],
      ABANDON_AFTER_MS,
      { kind: "abandon" },
    ],
    [
      "does not abandon a key that a server has",
      DISTRIBUTING,
      [server("a", "k1", "k2"), server("b", "k1")],
      10 * ABANDON_AFTER_MS,
      { kind: "wait", servers: ["b"] },
    ],
    [
      "never abandons a key that encrypts records",
      SEALING,
      [server("b", "k1")],
      10 * ABANDON_AFTER_MS,
      { kind: "seal-again" },
    ],
  ])("%s", (_, state, servers, afterMs, step) => {
    expect(planKeyRotation(state, servers, NOW_MS + afterMs)).toEqual(step);
  });

  it("names the key that encrypts in each phase", () => {
    const states = [undefined, DISTRIBUTING, SEALING, ROTATED, abandonedRotation(DISTRIBUTING, NOW_MS)];
    expect(states.map(sealingKeyId)).toEqual([undefined, "k1", "k2", "k2", "k1"]);
  });

  it("lists the servers that have not forgotten the earlier key", () => {
    const servers = [server("a", "k2"), server("b", "k1", "k2"), server("c", "k1")];
    expect(serversWithOthers("k2", servers)).toEqual(["b", "c"]);
  });
});

describe("planHeldKeys()", () => {
  const next = startedRotation("k2", "k3", NOW_MS);

  it.each<[string, ClusterKeyState | undefined, HeldKeyIds, HeldKeyStep]>([
    [
      "keeps its key before the first rotation",
      undefined,
      { current: "k1", next: undefined },
      { kind: "none" },
    ],
    [
      "drops a key of a rotation that never began",
      undefined,
      { current: "k1", next: "k2" },
      { kind: "drop" },
    ],
    ["fetches the next key", DISTRIBUTING, { current: "k1", next: undefined }, { kind: "fetch", id: "k2" }],
    [
      "replaces a key that is not the next one",
      DISTRIBUTING,
      { current: "k1", next: "x" },
      { kind: "fetch", id: "k2" },
    ],
    [
      "keeps both keys while records are encrypted again",
      SEALING,
      { current: "k1", next: "k2" },
      { kind: "none" },
    ],
    ["forgets the earlier key at the end", ROTATED, { current: "k1", next: "k2" }, { kind: "promote" }],
    ["keeps only the current key", ROTATED, { current: "k2", next: undefined }, { kind: "none" }],
    [
      "fetches the current key if it was off throughout",
      ROTATED,
      { current: "k1", next: undefined },
      { kind: "fetch", id: "k2" },
    ],
    [
      "fetches the current key before the next one",
      next,
      { current: "k1", next: undefined },
      { kind: "fetch", id: "k2" },
    ],
    [
      "promotes the current key before it fetches the next one",
      next,
      { current: "k1", next: "k2" },
      { kind: "promote" },
    ],
    ["then fetches the next one", next, { current: "k2", next: undefined }, { kind: "fetch", id: "k3" }],
    [
      "drops a key of an abandoned rotation",
      abandonedRotation(DISTRIBUTING, 0),
      { current: "k1", next: "k2" },
      { kind: "drop" },
    ],
  ])("%s", (_, state, held, step) => {
    expect(planHeldKeys(state, held)).toEqual(step);
  });
});
