import type { Probe } from "@berth/proto/probe";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Ticker } from "../../runtime/ticker.js";
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
  const { signal } = over;
  const now = (): number => Date.now();
  const watch = new PeerWatch({ probe, ticker: new Ticker({ signal, now }), onChange, log, signal, now });
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

describe("PeerWatch where packets get lost", () => {
  const PEERS = new Map(["b", "c", "d", "e"].map((nodeId) => [nodeId, nodeId]));
  const MINUTE_MS = 60_000;

  /** Hosts of whose packets a share is lost, in each direction, by a seeded dice. */
  function lossy(loss: number, seed = 1) {
    const dead = new Set<string>();
    const asked: { readonly address: string; readonly atMs: number }[] = [];
    const said: { readonly silent: string[]; readonly atMs: number }[] = [];
    const over = new AbortController();
    let state = seed;
    const dice = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
    const probe: Probe = async ({ address, tries, tryMs }) => {
      asked.push({ address, atMs: Date.now() });
      const isAnswered = dice() >= loss && dice() >= loss && !dead.has(address);
      await new Promise((resolve) => setTimeout(resolve, isAnswered ? 1 : tries * tryMs));
      return isAnswered;
    };
    const onChange = (silent: ReadonlySet<string>): unknown =>
      said.push({ silent: [...silent], atMs: Date.now() });
    const { signal } = over;
    const now = (): number => Date.now();
    const watch = new PeerWatch({ probe, ticker: new Ticker({ signal, now }), onChange, log, signal, now });
    watch.watch(PEERS);
    return { dead, asked, said, over };
  }

  it.each([0.01, 0.05])("misses nobody at a loss of %d, for minutes", async (loss) => {
    const { said, over } = lossy(loss);
    await vi.advanceTimersByTimeAsync(5 * MINUTE_MS);
    over.abort();
    expect(said).toEqual([]);
  });

  it("would do so less than once in ten days, ten hosts together", async () => {
    const { dead, asked, said, over } = lossy(0);
    await vi.advanceTimersByTimeAsync(1_000);
    dead.add("b");
    const diedMs = Date.now();
    await vi.advanceTimersByTimeAsync(500);
    over.abort();
    const [verdict] = said;
    expect(verdict?.silent).toEqual(["b"]);
    const inVain = asked.filter(
      ({ address, atMs }) => address === "b" && atMs > diedMs && atMs < (verdict?.atMs ?? 0) - 1,
    );
    const noAnswer = 1 - 0.95 * 0.95;
    const roundsADay = (10 * 9 * 86_400_000) / 150;
    expect(roundsADay * noAnswer ** inVain.length).toBeLessThan(0.1);
  });

  it.each([0.05, 0.2])("at a loss of %d finds out no later that a host has died", async (loss) => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const { dead, said, over } = lossy(loss, seed);
      await vi.advanceTimersByTimeAsync(2_000 + 10 * seed);
      dead.add("b");
      await vi.advanceTimersByTimeAsync(400);
      over.abort();
      const silent = said.at(-1)?.silent ?? [];
      expect([seed, silent.includes("b")]).toEqual([seed, true]);
    }
  });

  it("misses nobody because it was itself held up for two seconds, time and again", async () => {
    const { said, over } = lossy(0.05);
    for (let time = 0; time < 100; time += 1) {
      await vi.advanceTimersByTimeAsync(1_000 + 7 * time);
      // The clock goes on, and nothing runs: all that was due comes late, and at once.
      vi.setSystemTime(Date.now() + 2_000);
    }
    over.abort();
    expect(said).toEqual([]);
  });
});
