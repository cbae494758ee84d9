import { BerthError, type ErrorCode } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { fakeCli } from "../testing/fake-cli.js";
import { isLeaderChange, reopenStream, resumeStream, retryDuringElection } from "./leader-change.js";

const failure = (code: ErrorCode): BerthError => new BerthError({ code, message: "failed" });

/** Returns an `open` function whose n-th stream yields n and fails with the n-th error, or ends without one. */
function streams(errors: readonly (Error | undefined)[]): () => AsyncIterable<number> {
  let opened = 0;
  return async function* () {
    const error = errors[opened];
    opened += 1;
    yield opened;
    if (error !== undefined) throw error;
  };
}

async function readAll<T>(stream: AsyncIterable<T>): Promise<readonly T[]> {
  const messages: T[] = [];
  for await (const message of stream) messages.push(message);
  return messages;
}

test.each([
  ["BERTH_NO_LEADER", true],
  ["BERTH_NOT_LEADER", true],
  ["BERTH_SERVER_UNREACHABLE", true],
  ["BERTH_CANCELLED", true],
  ["BERTH_ETCD_UNAVAILABLE", true],
  ["BERTH_NOT_FOUND", false],
] as const)("isLeaderChange(%s) is %s", (code, expected) => {
  expect(isLeaderChange(failure(code))).toBe(expected);
});

describe("resumeStream", () => {
  test("opens an established stream again after a leader change", async () => {
    const open = streams([failure("BERTH_NOT_LEADER"), undefined]);
    expect(await readAll(resumeStream(fakeCli(), open))).toEqual([1, 2]);
  });

  test("fails at once if the first attempt cannot connect", async () => {
    const error = failure("BERTH_SERVER_UNREACHABLE");
    // biome-ignore lint/correctness/useYield: the stream fails before its first message
    const open = async function* (): AsyncGenerator<number> {
      throw error;
    };
    await expect(readAll(resumeStream(fakeCli(), open))).rejects.toBe(error);
  });

  test("opens a stream without messages again after each of two distant leader changes", async () => {
    let nowMs = 0;
    let opened = 0;
    const open = async function* (): AsyncGenerator<number> {
      opened += 1;
      nowMs += 60_000;
      if (opened < 3) throw failure("BERTH_NOT_LEADER");
      yield opened;
    };
    expect(await readAll(resumeStream({ ...fakeCli(), now: () => nowMs }, open))).toEqual([3]);
  });

  test("fails on errors that are not caused by a leader change", async () => {
    const error = failure("BERTH_NOT_FOUND");
    await expect(readAll(resumeStream(fakeCli(), streams([error])))).rejects.toBe(error);
  });
});

test("reopenStream does not open the stream again after an abort", async () => {
  const controller = new AbortController();
  const error = failure("BERTH_CANCELLED");
  const open = async function* (): AsyncGenerator<number> {
    yield 1;
    controller.abort();
    throw error;
  };
  const shouldReopen = (): boolean => {
    throw new Error("must not be called");
  };
  const stream = reopenStream(open, { signal: controller.signal, delayMs: 1, shouldReopen });
  await expect(readAll(stream)).rejects.toBe(error);
});

test("retryDuringElection retries until a leader is elected, but not on other errors", async () => {
  const leaderLost = new BerthError({
    code: "BERTH_SERVER_UNREACHABLE",
    message: "lost connection to the leader",
    details: { leader: "10.0.0.1:7400" },
  });
  const results: (BerthError | string)[] = [
    failure("BERTH_NO_LEADER"),
    leaderLost,
    failure("BERTH_ETCD_UNAVAILABLE"),
    "done",
  ];
  const call = async (): Promise<string> => {
    const result = results.shift() ?? "none";
    if (typeof result === "string") return result;
    throw result;
  };
  expect(await retryDuringElection(fakeCli(), call)).toBe("done");
  results.push(failure("BERTH_SERVER_UNREACHABLE"));
  await expect(retryDuringElection(fakeCli(), call)).rejects.toMatchObject({
    code: "BERTH_SERVER_UNREACHABLE",
  });
});
