import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));
const SEEDS = 300;
/** Time limit in seconds. A busy machine simulates fewer histories within it. */
const MAX_S = 30;
const TIMEOUT_MS = 180_000;

function sim(...args: readonly string[]): { readonly output: string; readonly code: number | null } {
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--import", "tsx", MAIN, ...args], {
    encoding: "utf8",
  });
  return { output: `${stdout}${stderr}`, code: status };
}

test("no rule is violated in hundreds of histories with faults", { timeout: TIMEOUT_MS }, () => {
  const { output, code } = sim("--seeds", String(SEEDS), "--for", String(MAX_S));
  expect({ output, code }).toMatchObject({ code: 0 });
});

test("the same seed gives the same trace", { timeout: TIMEOUT_MS }, () => {
  const hashes = [1, 2].map(() => /trace ([0-9a-f]{8})/.exec(sim("--seed", "7").output)?.[1]);
  expect(hashes[0]).toMatch(/^[0-9a-f]{8}$/);
  expect(hashes[0]).toBe(hashes[1]);
});
