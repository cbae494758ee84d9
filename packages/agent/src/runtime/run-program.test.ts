import { expect, it } from "vitest";
import { runProgram } from "./run-program.js";

const { signal } = new AbortController();

it("runProgram reports a program that cannot be started as failed", async () => {
  // Thrown by Node, as want of memory is.
  expect(await runProgram("true", { args: ["\0"], signal })).toEqual({
    kind: "failed",
    reason: expect.stringContaining("null bytes"),
  });
  expect(await runProgram("no-such-program", { args: [], signal })).toEqual({ kind: "missing" });
});
