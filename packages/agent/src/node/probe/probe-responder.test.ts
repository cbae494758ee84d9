import { setImmediate } from "node:timers/promises";
import { expect, onTestFinished, test, vi } from "vitest";
import { ProbeResponder } from "./probe-responder.js";

test("ProbeResponder answers with the result, and not at all above 64 concurrent requests", async () => {
  const finish: ((answered: boolean) => void)[] = [];
  const probing = new ProbeResponder(
    () => new Promise((resolve) => finish.push(resolve)),
    new AbortController().signal,
  );
  const ask = (requestId: string) => probing.answer({ requestId, address: "10.0.0.1", port: 1 });
  const first = ask("first");
  const others = Array.from({ length: 63 }, (_, index) => ask(`other${index}`));
  expect(await ask("surplus")).toBeUndefined();
  for (const done of finish) done(true);
  expect(await first).toEqual({ requestId: "first", answered: true });
  await Promise.all(others);
  const again = ask("again");
  finish.at(-1)?.(false);
  expect(await again).toEqual({ requestId: "again", answered: false });
});

test("ProbeResponder runs 64 probes without a warning about listener leaks", async () => {
  const warn = vi.fn();
  process.on("warning", warn);
  onTestFinished(() => void process.off("warning", warn));
  const over = new AbortController();
  const probing = new ProbeResponder(
    (_target, signal) =>
      new Promise((resolve) => {
        signal.addEventListener("abort", () => resolve(false), { once: true });
      }),
    over.signal,
  );
  const answers = Array.from({ length: 64 }, (_, index) =>
    probing.answer({ requestId: String(index), address: "10.0.0.1", port: 1 }),
  );
  over.abort();
  await Promise.all(answers);
  await setImmediate();
  expect(warn).not.toHaveBeenCalled();
});
