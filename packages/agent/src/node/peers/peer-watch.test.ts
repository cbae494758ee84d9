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

/** Creates a watch of two hosts, and records its probes and reports. */
function createWatch(): {
  readonly alive: Set<string>;
  readonly probed: string[];
  readonly reports: string[][];
  readonly watch: PeerWatch;
  readonly stopping: AbortController;
} {
  const alive = new Set(["10.0.0.2", "10.0.0.3"]);
  const probed: string[] = [];
  const reports: string[][] = [];
  const stopping = new AbortController();
  const probe: Probe = async ({ address, tries, tryMs }) => {
    probed.push(address);
    if (alive.has(address)) return true;
    await new Promise((resolve) => setTimeout(resolve, tries * tryMs));
    return false;
  };
  const onChange = (silent: ReadonlySet<string>): unknown => reports.push([...silent]);
  const { signal } = stopping;
  const now = (): number => Date.now();
  const watch = new PeerWatch({ probe, ticker: new Ticker({ signal, now }), onChange, log, signal, now });
  return { alive, probed, reports, watch, stopping };
}

it("PeerWatch reports a silent host within half a second, and its return when it answers again", async () => {
  const { alive, reports, watch, stopping } = createWatch();
  watch.watch(new Map(Object.entries({ b: "10.0.0.2", c: "10.0.0.3" })));
  await vi.advanceTimersByTimeAsync(5_000);
  expect(reports).toEqual([]);
  alive.delete("10.0.0.2");
  await vi.advanceTimersByTimeAsync(500);
  expect(reports).toEqual([["b"]]);
  await vi.advanceTimersByTimeAsync(5_000);
  alive.add("10.0.0.2");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(reports).toEqual([["b"], []]);
  stopping.abort();
});

it("PeerWatch probes only the watched hosts, and none after it was stopped", async () => {
  const { alive, probed, reports, watch, stopping } = createWatch();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(probed).toEqual([]);
  watch.watch(new Map([["b", "10.0.0.2"]]));
  await vi.advanceTimersByTimeAsync(1_000);
  alive.clear();
  await vi.advanceTimersByTimeAsync(500);
  expect(reports).toEqual([["b"]]);
  // A host that is no longer watched is no longer reported as silent.
  watch.watch(new Map());
  expect(reports).toEqual([["b"], []]);
  const before = probed.length;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(probed.length).toBe(before);
  watch.watch(new Map([["c", "10.0.0.3"]]));
  stopping.abort();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(probed.length).toBe(before);
});

describe("PeerWatch with packet loss", () => {
  const PEERS = new Map(["b", "c", "d", "e"].map((nodeId) => [nodeId, nodeId]));
  const MINUTE_MS = 60_000;

  /** Creates a watch whose probes lose this ratio of packets in each direction, from a seeded random source. */
  function createLossyWatch(loss: number, seed = 1) {
    const dead = new Set<string>();
    const probed: { readonly address: string; readonly atMs: number }[] = [];
    const reports: { readonly silent: string[]; readonly atMs: number }[] = [];
    const stopping = new AbortController();
    let state = seed;
    const random = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
    const probe: Probe = async ({ address, tries, tryMs }) => {
      probed.push({ address, atMs: Date.now() });
      const isAnswered = random() >= loss && random() >= loss && !dead.has(address);
      await new Promise((resolve) => setTimeout(resolve, isAnswered ? 1 : tries * tryMs));
      return isAnswered;
    };
    const onChange = (silent: ReadonlySet<string>): unknown =>
      reports.push({ silent: [...silent], atMs: Date.now() });
    const { signal } = stopping;
    const now = (): number => Date.now();
    const watch = new PeerWatch({ probe, ticker: new Ticker({ signal, now }), onChange, log, signal, now });
    watch.watch(PEERS);
    return { dead, probed, reports, stopping };
  }

  it.each([0.01, 0.05])("reports no host for minutes at a packet loss of %d", async (loss) => {
    const { reports, stopping } = createLossyWatch(loss);
    await vi.advanceTimersByTimeAsync(5 * MINUTE_MS);
    stopping.abort();
    expect(reports).toEqual([]);
  });

  it("probes a silent host often enough for less than one false report in ten days among ten hosts", async () => {
    const { dead, probed, reports, stopping } = createLossyWatch(0);
    await vi.advanceTimersByTimeAsync(1_000);
    dead.add("b");
    const diedMs = Date.now();
    await vi.advanceTimersByTimeAsync(500);
    stopping.abort();
    const [report] = reports;
    expect(report?.silent).toEqual(["b"]);
    const unanswered = probed.filter(
      ({ address, atMs }) => address === "b" && atMs > diedMs && atMs < (report?.atMs ?? 0) - 1,
    );
    const noAnswer = 1 - 0.95 * 0.95;
    const roundsADay = (10 * 9 * 86_400_000) / 150;
    expect(roundsADay * noAnswer ** unanswered.length).toBeLessThan(0.1);
  });

  it.each([0.05, 0.2])("reports a failed host as soon at a packet loss of %d", async (loss) => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const { dead, reports, stopping } = createLossyWatch(loss, seed);
      await vi.advanceTimersByTimeAsync(2_000 + 10 * seed);
      dead.add("b");
      await vi.advanceTimersByTimeAsync(400);
      stopping.abort();
      const silent = reports.at(-1)?.silent ?? [];
      expect([seed, silent.includes("b")]).toEqual([seed, true]);
    }
  });

  it("reports no host when this host is repeatedly busy for two seconds", async () => {
    const { reports, stopping } = createLossyWatch(0.05);
    for (let time = 0; time < 100; time += 1) {
      await vi.advanceTimersByTimeAsync(1_000 + 7 * time);
      // The clock advances while no timer runs. All timers that became due then run late and at once.
      vi.setSystemTime(Date.now() + 2_000);
    }
    stopping.abort();
    expect(reports).toEqual([]);
  });
});
