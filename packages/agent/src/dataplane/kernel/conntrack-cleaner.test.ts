import { expect, it, vi } from "vitest";
import type { ProgramCall, ProgramResult, RunProgram } from "../../runtime/run-program.js";
import { ConntrackCleaner } from "./conntrack-cleaner.js";
import type { UnansweredClient } from "./syn-retransmit.js";

const { signal } = new AbortController();
const deletion = (host: number) => ({ args: ["--delete", "--reply-src", `10.0.0.${host}`] });

/** Returns the deletions of a run, each as its arguments. */
const deletionsIn = ({ args, input = "" }: ProgramCall): readonly string[] =>
  args[0] === "--load-file" ? input.trimEnd().split("\n") : [args.join(" ")];
const hostsIn = (call: ProgramCall): string =>
  deletionsIn(call)
    .map((line) => line.split(".").at(-1))
    .join(" ");

/** A `conntrack` that takes a time for each deletion on the test's clock, and deletes nothing. */
function slowConntrack(deletionMs: number) {
  let [running, most, nowMs] = [0, 0, 0];
  const sizes: number[] = [];
  const run: RunProgram = async (_program, call) => {
    running += 1;
    const { length } = deletionsIn(call);
    sizes.push(length);
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    nowMs += (deletionMs * length) / running;
    running -= 1;
    return { kind: "failed", reason: "0 flow entries have been deleted" };
  };
  return { run, now: () => nowMs, sizes, most: () => most };
}

it("runs at most 2 programs at a time and skips deletions that waited for 20 s", async () => {
  const { run, now, sizes, most } = slowConntrack(1_000);
  const warn = vi.fn();
  const cleaner = new ConntrackCleaner({ log: { warn }, signal, onUnanswered: async () => {}, run, now });
  cleaner.delete(Array.from({ length: 5_000 }, (_, host) => deletion(host)));
  await vi.waitFor(() => expect(warn).toHaveBeenCalledOnce());
  expect(most()).toBe(2);
  expect(sizes.length).toBeLessThan(60);
  expect(warn.mock.calls[0]?.[0]).toEqual({ skipped: 5_000 - sizes.reduce((sum, size) => sum + size, 0) });
});

it.each([
  { deletionMs: 1, sizes: [8, 8, 64, 64, 56] },
  { deletionMs: 300, sizes: [8, 8, 1, 1, 1, 1] },
])("runs batches of about 100 ms: %o", async ({ deletionMs, sizes: expected }) => {
  const { run, now, sizes } = slowConntrack(deletionMs);
  const cleaner = new ConntrackCleaner({
    ...{ log: { warn: () => {} }, signal, onUnanswered: async () => {}, run, now },
  });
  cleaner.delete(
    Array.from({ length: expected.reduce((sum, size) => sum + size, 0) }, (_, i) => deletion(i)),
  );
  await vi.waitFor(() => expect(sizes).toEqual(expected));
  await cleaner.close();
});

it("runs each deletion by itself when conntrack cannot read a batch", async () => {
  const calls: string[] = [];
  const run: RunProgram = async (_program, call) => {
    calls.push(hostsIn(call));
    return call.args[0] === "--load-file"
      ? { kind: "failed", reason: "conntrack: unrecognized option '--load-file'" }
      : { kind: "done", stdout: "" };
  };
  const cleaner = new ConntrackCleaner({
    ...{ log: { warn: () => {} }, signal, onUnanswered: async () => {}, run },
  });
  cleaner.delete([1, 2, 3].map(deletion));
  await vi.waitFor(() => expect(calls).toEqual(["1 2 3", "1", "2", "3"]));
});

it("runs a deletion once that is queued several times", async () => {
  const { run, now, sizes } = slowConntrack(1_000);
  const cleaner = new ConntrackCleaner({
    log: { warn: () => {} },
    signal,
    onUnanswered: async () => {},
    run,
    now,
  });
  cleaner.delete([deletion(1), deletion(2)]);
  for (let times = 0; times < 10; times += 1) cleaner.delete([deletion(3)]);
  await vi.waitFor(() => expect(sizes).toEqual([2, 1]));
  await cleaner.close();
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
  const deleted: string[] = [];
  const run: RunProgram = async (_program, call) => {
    deleted.push(hostsIn(call));
    await new Promise((resolve) => setImmediate(resolve));
    return { kind: "done", stdout: "" };
  };
  const cleaner = new ConntrackCleaner({
    ...{ log: { warn: () => {} }, signal, onUnanswered: async () => {}, run },
  });
  for (const hosts of [[1], [2], [3, 4]]) {
    cleaner.delete(hosts.map((host) => ({ ...deletion(host), isNeeded: () => !reused.has(host) })));
  }
  reused.add(3);
  await vi.waitFor(() => expect(deleted).toEqual(["1", "2", "4"]));
});

it("kills a batch with an address that another task has taken over, and runs its other deletions again", async () => {
  const reused = new Set<number>();
  const outcomes: string[] = [];
  const run: RunProgram = (_program, call) =>
    new Promise((_resolve, reject) => {
      outcomes.push(`started ${hostsIn(call)}`);
      call.signal.addEventListener("abort", () => {
        outcomes.push(`killed ${hostsIn(call)}`);
        reject(call.signal.reason);
      });
    });
  const cleaner = new ConntrackCleaner({
    ...{ log: { warn: () => {} }, signal, onUnanswered: async () => {}, run },
  });
  cleaner.delete([1, 2, 3].map((host) => ({ ...deletion(host), isNeeded: () => !reused.has(host) })));
  expect(outcomes).toEqual(["started 1 2 3"]);
  cleaner.cancelUnneeded();
  expect(outcomes).toHaveLength(1);
  reused.add(2);
  cleaner.cancelUnneeded();
  await vi.waitFor(() => expect(outcomes.slice(1)).toEqual(["killed 1 2 3", "started 1 3"]));
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
