import { expect, it } from "vitest";
import { runSmoke } from "../bench/run-smoke.js";

const TIMEOUT_MS = 600_000;

it.each(["deploy", "idle", "failover", "continuity"])(
  "the benchmark %s runs in its smallest size",
  { timeout: TIMEOUT_MS },
  async (name) => {
    expect(await runSmoke(name)).toEqual({ code: 0, output: expect.stringContaining(`${name}.`) });
  },
);
