import { expect, test } from "vitest";
import { withDeadline } from "./with-deadline.js";

const never = (): Promise<never> => new Promise(() => {});
const onTimeout = (): Error => new Error("too late");

test("withDeadline settles at the deadline even if the effect ignores its signal", async () => {
  const { signal } = new AbortController();
  let inner: AbortSignal | undefined;
  const waiting = withDeadline({ timeoutMs: 10, signal, onTimeout }, (given) => {
    inner = given;
    return never();
  });
  await expect(waiting).rejects.toThrow("too late");
  expect(inner?.aborted).toBe(true);
});

test("withDeadline settles with the outer signal's reason", async () => {
  const outer = new AbortController();
  const waiting = withDeadline({ timeoutMs: 60_000, signal: outer.signal, onTimeout }, never);
  outer.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  await expect(withDeadline({ timeoutMs: 1, signal: outer.signal, onTimeout }, never)).rejects.toThrow(
    "enough",
  );
});
