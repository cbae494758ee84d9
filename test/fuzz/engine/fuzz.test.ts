import { runInThisContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { Coverage, intersect } from "./coverage.js";
import { execute } from "./execute.js";
import { fuzz } from "./fuzz.js";
import { minimize } from "./minimize.js";
import type { Target } from "./target.js";

const LIMIT = 20_000;

/** A parser with a bug for inputs that contain `<` and `>`. */
const BROKEN: Target = {
  name: "broken",
  seeds: ["a<b"],
  run: (input) => {
    if (input.includes("<") && input.includes(">")) throw new Error("unexpected >");
  },
};

const run = (target: Target, seed: number) =>
  fuzz(target, { seed, corpus: [], isOver: (executions) => executions >= LIMIT });

describe("fuzz", () => {
  test("fuzz finds an input that fails and minimizes it", async () => {
    const { failure } = await run(BROKEN, 1);
    expect(failure?.kind).toBe("error");
    expect(failure?.reason).toContain("unexpected >");
    expect([...(failure?.input.toString() ?? "")].sort().join("")).toBe("<>");
  });

  test("fuzz repeats the same inputs for the same seed", async () => {
    const inputsOf = async (seed: number): Promise<readonly string[]> => {
      const inputs: string[] = [];
      const target: Target = { ...BROKEN, run: (input) => void inputs.push(input.toString("hex")) };
      await fuzz(target, { seed, corpus: [], isOver: (executions) => executions >= 100 });
      return inputs;
    };
    expect(await inputsOf(5)).toEqual(await inputsOf(5));
    expect(await inputsOf(5)).not.toEqual(await inputsOf(6));
  });

  test("fuzz keeps an input that reaches new code", async () => {
    const reached = new Set<string>();
    const target: Target = {
      ...BROKEN,
      run: (input) => {
        if (input.includes("a")) reached.add("a");
        if (input.includes("z")) reached.add("z");
      },
    };
    const known = new Set<string>();
    const coverage = {
      reset: () => reached.clear(),
      gain: ({ isRecorded }: { readonly isRecorded: boolean }) => {
        const fresh = [...reached].filter((branch) => !known.has(branch));
        if (isRecorded) for (const branch of fresh) known.add(branch);
        reached.clear();
        return fresh.length;
      },
    } as Coverage;
    const { found } = await fuzz(target, {
      seed: 1,
      corpus: [],
      coverage,
      isOver: (executions) => executions >= LIMIT,
    });
    expect(found.map(String)).toEqual(["z"]);
  });

  test("execute reports an input that uses too much CPU time in every attempt", async () => {
    const slow: Target = {
      ...BROKEN,
      run: () => {
        for (const start = process.cpuUsage(); process.cpuUsage(start).user < 250_000; );
      },
    };
    expect((await execute(slow, Buffer.from("x")))?.kind).toBe("slow");
  });
});

test("Coverage counts code that runs for the first time", () => {
  const coverage = new Coverage();
  try {
    const code = "(function f(x) { if (x) { return 1; } return 2; })";
    const parse = runInThisContext(code, { filename: "/packages/agent/src/f.js" });
    coverage.reset();
    const gains = [true, true, false, false].map((argument) => {
      parse(argument);
      return coverage.gain({ isRecorded: true });
    });
    expect(gains).toEqual([expect.any(Number), 0, expect.any(Number), 0]);
    expect(Math.min(gains[0] ?? 0, gains[2] ?? 0)).toBeGreaterThan(0);
  } finally {
    coverage.close();
  }
});

test("intersect returns the parts that are in both lists", () => {
  expect(
    intersect(
      [[0, 10]],
      [
        [2, 4],
        [8, 12],
      ],
    ),
  ).toEqual([
    [2, 4],
    [8, 10],
  ]);
  expect(intersect([[0, 2]], [[2, 4]])).toEqual([]);
});

test("minimize removes everything that is not wanted", async () => {
  const isWanted = async (candidate: Buffer): Promise<boolean> => candidate.includes("x");
  expect((await minimize(Buffer.from("ab-x-cd"), isWanted)).toString()).toBe("x");
});
