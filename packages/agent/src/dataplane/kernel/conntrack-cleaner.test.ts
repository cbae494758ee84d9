import { expect, it, vi } from "vitest";
import type { ProgramResult, RunProgram } from "../../runtime/run-program.js";
import { ConntrackCleaner } from "./conntrack-cleaner.js";
import type { UnansweredClient } from "./syn-retransmit.js";

const { signal } = new AbortController();
const deletion = (host: number) => ({ args: ["--delete", "--reply-src", `10.0.0.${host}`] });

/** A `conntrack` that takes 1 s on the test's clock and deletes nothing. */
function slowConntrack(): { run: RunProgram; now: () => number; runs: () => number; most: () => number } {
  let [running, most, runs, nowMs] = [0, 0, 0, 0];
  const run: RunProgram = async () => {
    running += 1;
    runs += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    nowMs += 1_000 / running;
    running -= 1;
    return { kind: "failed", reason: "0 flow entries have been deleted" };
  };
  return { run, now: () => nowMs, runs: () => runs, most: () => most };
}

it("runs at most 2 programs at a time and skips deletions that waited for 20 s", async () => {
  const { run, now, runs, most } = slowConntrack();
  const warn = vi.fn();
  const cleaner = new ConntrackCleaner({ log: { warn }, signal, onUnanswered: async () => {}, run, now });
  cleaner.delete(Array.from({ length: 5_000 }, (_, host) => deletion(host)));
  await vi.waitFor(() => expect(warn).toHaveBeenCalledOnce());
  expect(most()).toBe(2);
  expect(runs()).toBeLessThan(60);
  expect(warn.mock.calls[0]?.[0]).toEqual({ skipped: 5_000 - runs() });
});

it("runs a deletion once that is queued several times", async () => {
  const { run, now, runs } = slowConntrack();
  const cleaner = new ConntrackCleaner({
    log: { warn: () => {} },
    signal,
    onUnanswered: async () => {},
    run,
    now,
  });
  cleaner.delete([deletion(1), deletion(2)]);
  for (let times = 0; times < 10; times += 1) cleaner.delete([deletion(3)]);
  await cleaner.close();
  expect(runs()).toBeLessThanOrEqual(3);
});

it("runs a deletion again that ended at a missing entry, and reports the clients of both runs", async () => {
  const line = (port: number): string =>
    `tcp 6 0 SYN_SENT src=10.0.0.9 dst=10.0.0.1 sport=${port} dport=80 [UNREPLIED] src=10.0.0.2 dst=10.0.0.9`;
  const results: ProgramResult[] = [
    {
      kind: "failed",
      exitCode: 1,
      reason: "conntrack v1.4.7 (conntrack-tools): Operation failed: such conntrack doesn't exist",
      stdout: line(1_001),
    },
    { kind: "done", stdout: line(1_002) },
  ];
  const run: RunProgram = async () => results.shift() ?? { kind: "missing" };
  const ports: number[] = [];
  const onUnanswered = async (clients: readonly UnansweredClient[]): Promise<void> => {
    ports.push(...clients.map(({ clientPort }) => clientPort));
  };
  const cleaner = new ConntrackCleaner({ log: { warn: () => {} }, signal, onUnanswered, run });
  cleaner.delete([deletion(2)]);
  await vi.waitFor(() => expect(ports).toEqual([1_001, 1_002]));
  expect(results).toEqual([]);
});

it("skips a deletion whose address belongs to another task when its turn comes", async () => {
  const reused = new Set<number>();
  const deleted: (string | undefined)[] = [];
  const run: RunProgram = async (_program, { args }) => {
    deleted.push(args?.at(-1));
    await new Promise((resolve) => setImmediate(resolve));
    return { kind: "done", stdout: "" };
  };
  const cleaner = new ConntrackCleaner({
    log: { warn: () => {} },
    signal,
    onUnanswered: async () => {},
    run,
  });
  cleaner.delete([1, 2, 3, 4].map((host) => ({ ...deletion(host), isNeeded: () => !reused.has(host) })));
  reused.add(3);
  await vi.waitFor(() => expect(deleted).toEqual(["10.0.0.1", "10.0.0.2", "10.0.0.4"]));
});

it("kills a running deletion whose address another task has taken over", async () => {
  const reused = new Set<number>();
  const outcomes: string[] = [];
  const run: RunProgram = (_program, { args, signal: killed }) =>
    new Promise((_resolve, reject) => {
      outcomes.push(`started ${args.at(-1)}`);
      killed.addEventListener("abort", () => {
        outcomes.push(`killed ${args.at(-1)}`);
        reject(killed.reason);
      });
    });
  const cleaner = new ConntrackCleaner({
    log: { warn: () => {} },
    signal,
    onUnanswered: async () => {},
    run,
  });
  cleaner.delete([1, 2, 3].map((host) => ({ ...deletion(host), isNeeded: () => !reused.has(host) })));
  expect(outcomes).toEqual(["started 10.0.0.1", "started 10.0.0.2"]);
  cleaner.cancelUnneeded();
  expect(outcomes).toHaveLength(2);
  reused.add(2);
  cleaner.cancelUnneeded();
  await vi.waitFor(() => expect(outcomes.slice(2)).toEqual(["killed 10.0.0.2", "started 10.0.0.3"]));
});

it("reports the clients whose unanswered connections were deleted", async () => {
  const line =
    "tcp 6 0 SYN_SENT src=10.0.0.9 dst=10.0.0.1 sport=41254 dport=80 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=80 dport=1";
  const run: RunProgram = async () => ({ kind: "done", stdout: line });
  const onUnanswered = vi.fn(async () => {});
  const cleaner = new ConntrackCleaner({ log: { warn: () => {} }, signal, onUnanswered, run });
  cleaner.delete([deletion(2)]);
  await vi.waitFor(() => expect(onUnanswered).toHaveBeenCalledOnce());
  expect(onUnanswered).toHaveBeenCalledWith([
    { client: "10.0.0.9", clientPort: 41_254, address: "10.0.0.1", port: 80 },
  ]);
});
