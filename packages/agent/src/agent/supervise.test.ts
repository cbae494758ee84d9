import { expect, test } from "vitest";
import { type Part, supervise } from "./supervise.js";

const waiting = (name: string, stopped: string[] = []): Part => ({
  name,
  run: (signal) =>
    new Promise((resolve) => {
      signal.addEventListener("abort", () => {
        stopped.push(name);
        resolve();
      });
    }),
});
const failing: Part = { name: "failing", run: () => Promise.reject(new Error("port in use")) };

test("supervise stops all parts and throws the reason when one part fails", async () => {
  const stopped: string[] = [];
  const lifetime = new AbortController();
  const parts = [waiting("a", stopped), failing, waiting("b", stopped)];
  await expect(supervise(parts, lifetime)).rejects.toThrow("port in use");
  expect(stopped).toEqual(["a", "b"]);
  expect(lifetime.signal.aborted).toBe(true);
});

test("supervise treats a part that ends by itself as failed", async () => {
  const parts = [waiting("a"), { name: "quitter", run: async () => {} }];
  await expect(supervise(parts, new AbortController())).rejects.toThrow("quitter ended unexpectedly");
});

test("supervise resolves after an orderly stop", async () => {
  const lifetime = new AbortController();
  const done = supervise([waiting("a"), waiting("b")], lifetime);
  lifetime.abort();
  await done;
});
