import type { Probe } from "@berth/proto";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { PeerWatch } from "./peer-watch.js";

const log = pino({ level: "silent" });

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Hosts by address, and what the watch made of them. */
function rig(): {
  readonly alive: Set<string>;
  readonly asked: string[];
  readonly said: string[][];
  readonly watch: PeerWatch;
  readonly over: AbortController;
} {
  const alive = new Set(["10.0.0.2", "10.0.0.3"]);
  const asked: string[] = [];
  const said: string[][] = [];
  const over = new AbortController();
  const probe: Probe = async ({ address, tries, tryMs }) => {
    asked.push(address);
    if (alive.has(address)) return true;
    await new Promise((resolve) => setTimeout(resolve, tries * tryMs));
    return false;
  };
  const onChange = (silent: ReadonlySet<string>): unknown => said.push([...silent]);
  const watch = new PeerWatch({ probe, onChange, log, signal: over.signal, now: () => Date.now() });
  return { alive, asked, said, watch, over };
}

it("PeerWatch misses a host within half a second, and has it back when it answers again", async () => {
  const { alive, said, watch, over } = rig();
  watch.watch(new Map(Object.entries({ b: "10.0.0.2", c: "10.0.0.3" })));
  await vi.advanceTimersByTimeAsync(5_000);
  expect(said).toEqual([]);
  alive.delete("10.0.0.2");
  await vi.advanceTimersByTimeAsync(500);
  expect(said).toEqual([["b"]]);
  await vi.advanceTimersByTimeAsync(5_000);
  alive.add("10.0.0.2");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(said).toEqual([["b"], []]);
  over.abort();
});

it("PeerWatch asks only those that it is to watch, and nobody after its end", async () => {
  const { alive, asked, said, watch, over } = rig();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(asked).toEqual([]);
  watch.watch(new Map([["b", "10.0.0.2"]]));
  await vi.advanceTimersByTimeAsync(1_000);
  alive.clear();
  await vi.advanceTimersByTimeAsync(500);
  expect(said).toEqual([["b"]]);
  // Nobody there is sent anything any more: nothing is left to avoid.
  watch.watch(new Map());
  expect(said).toEqual([["b"], []]);
  const before = asked.length;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(asked.length).toBe(before);
  watch.watch(new Map([["c", "10.0.0.3"]]));
  over.abort();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(asked.length).toBe(before);
});
