import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { createAbortRace } from "./streams.js";

test("a race against a signal that has aborted rejects with its reason, and handles the error of the promise", async () => {
  const { race, dispose } = createAbortRace(AbortSignal.abort(new Error("the caller disconnected")));
  // Without a handler, the test run would fail because of an unhandled rejection.
  const failed = Promise.reject(new Error("lost the connection"));
  await expect(race(failed)).rejects.toThrow("the caller disconnected");
  await nextTurn();
  dispose();
});
