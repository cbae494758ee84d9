import { expect, test } from "vitest";
import { groupIntoBatches } from "./batches.js";

async function* numbers(count: number): AsyncGenerator<number> {
  for (let value = 0; value < count; value += 1) yield value;
}

test("inBatches groups values and loses none", async () => {
  const batches: (readonly number[])[] = [];
  for await (const batch of groupIntoBatches(numbers(1_234), () => 1)) batches.push(batch);
  expect(batches.flat()).toEqual(Array.from({ length: 1_234 }, (_, value) => value));
  expect(batches.map(({ length }) => length)).toEqual([500, 500, 234]);
});

test("inBatches reads no further than one value ahead of its consumer", async () => {
  let read = 0;
  const counted = async function* (): AsyncGenerator<number> {
    for await (const value of numbers(10_000)) {
      read += 1;
      yield value;
    }
  };
  const batches = groupIntoBatches(counted(), () => 1);
  await batches.next();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(read).toBeLessThanOrEqual(501);
  await batches.return(undefined);
});

test("inBatches throws the source's error after the values before it", async () => {
  const failing = async function* (): AsyncGenerator<number> {
    yield 1;
    throw new Error("broken");
  };
  const seen: number[] = [];
  const reading = (async () => {
    for await (const batch of groupIntoBatches(failing(), () => 1)) seen.push(...batch);
  })();
  await expect(reading).rejects.toThrow("broken");
  expect(seen).toEqual([1]);
});
