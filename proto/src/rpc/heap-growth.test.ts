import v8 from "node:v8";
import { expect, test, vi } from "vitest";
import { allowHeapGrowth } from "./heap-growth.js";

test("the heap may grow from the first call until the last one has ended", () => {
  const setFlags = vi.spyOn(v8, "setFlagsFromString");
  const first = allowHeapGrowth();
  const second = allowHeapGrowth();
  first();
  expect(setFlags.mock.calls).toEqual([["--heap-growing-percent=300"]]);
  second();
  expect(setFlags.mock.calls).toEqual([["--heap-growing-percent=300"], ["--heap-growing-percent=0"]]);
  setFlags.mockRestore();
});
