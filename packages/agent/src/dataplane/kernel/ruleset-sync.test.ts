import { expect, it, vi } from "vitest";
import type { ProgramResult, RunProgram } from "../../runtime/run-program.js";
import { RulesetSync } from "./ruleset-sync.js";

const DONE: ProgramResult = { kind: "done", stdout: "" };
const FAILED: ProgramResult = { kind: "failed", reason: "Error: no memory" };
const log = { info: () => {}, warn: () => {}, error: () => {} };

/** An `nft` whose runs end when the test calls their resolve functions. */
function blockingNft(): { run: RunProgram; runs: ((result: ProgramResult) => void)[] } {
  const runs: ((result: ProgramResult) => void)[] = [];
  const run: RunProgram = () => new Promise((resolve) => runs.push(resolve));
  return { run, runs };
}

it("resolves an update that is called while the table is deleted after a failure", async () => {
  const { run, runs } = blockingNft();
  const { signal } = new AbortController();
  const sync = new RulesetSync({ log, signal, run, desired: () => new Map(), beforeScript: () => () => {} });
  const first = sync.update();
  runs[0]?.(FAILED);
  await vi.waitFor(() => expect(runs).toHaveLength(2));
  const second = sync.update();
  runs[1]?.(DONE);
  await Promise.all([first, second]);
  expect(sync.problem).toBe("Error: no memory");
  await sync.close();
});

it("applies an update that is called while a script runs with the next script", async () => {
  const { run, runs } = blockingNft();
  const { signal } = new AbortController();
  const beforeScript = vi.fn(() => () => {});
  const sync = new RulesetSync({ log, signal, run, desired: () => new Map(), beforeScript });
  const first = sync.update();
  let isSecondApplied = false;
  const second = sync.update().then(() => {
    isSecondApplied = true;
  });
  runs[0]?.(DONE);
  await first;
  expect(isSecondApplied).toBe(false);
  await second;
  expect(beforeScript).toHaveBeenCalledTimes(2);
  await sync.close();
});
