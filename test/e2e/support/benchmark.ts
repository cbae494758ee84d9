import { expect, it } from "vitest";
import { runSmoke } from "../../bench/run-smoke.js";

const TIMEOUT_MS = 600_000;

/**
 * Declares the test of a benchmark. Each is in a file of its own, because test files run in parallel.
 *
 * @param prefix the first part of the names of its figures
 */
export function testBenchmark(name: string, prefix = name): void {
  it(`the benchmark ${name} runs in its smallest size`, { timeout: TIMEOUT_MS }, async () => {
    expect(await runSmoke(name)).toEqual({ code: 0, output: expect.stringContaining(`${prefix}.`) });
  });
}
