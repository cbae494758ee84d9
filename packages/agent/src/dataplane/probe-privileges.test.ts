import { expect, it } from "vitest";
import type { ProgramResult } from "../runtime/run-program.js";
import { findPrivilegeProblem } from "./probe-privileges.js";

const { signal } = new AbortController();
const DENIED: ProgramResult = {
  kind: "failed",
  reason: "Operation not permitted (you must be root)",
  exitCode: 1,
};

it.each<[string, string | undefined, (program: string) => ProgramResult]>([
  ["works", undefined, () => ({ kind: "done", stdout: "" })],
  ["is not installed", undefined, () => ({ kind: "missing" })],
  [
    "fails for root, too",
    undefined,
    () => ({ kind: "failed", reason: "Protocol not supported", exitCode: 1 }),
  ],
  [
    "is refused",
    "nft: Operation not permitted (you must be root)",
    (program) => (program === "nft" ? DENIED : { kind: "done", stdout: "" }),
  ],
])("a program that %s is reported as %s", async (_what, problem, resultOf) => {
  expect(await findPrivilegeProblem(signal, async (program) => resultOf(program))).toBe(problem);
});

it("a Node.js that this process cannot execute is reported", async () => {
  const run = async (): Promise<ProgramResult> => ({ kind: "done", stdout: "" });
  expect(await findPrivilegeProblem(signal, run, "/nowhere/node")).toMatch(
    /^\/nowhere\/node: permission denied; install Node.js where all users can read it/,
  );
});
