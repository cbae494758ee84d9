import { describe, expect, it } from "vitest";
import { abortable, linkSignals, onAbort } from "./abort.js";

/** Runs `action` and returns how many warnings about too many listeners Node emitted. */
async function countListenerWarnings(action: () => void): Promise<number> {
  let count = 0;
  const onWarning = ({ name }: Error): void => {
    if (name === "MaxListenersExceededWarning") count += 1;
  };
  process.on("warning", onWarning);
  action();
  // Node emits warnings in the next tick.
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", onWarning);
  return count;
}

describe("onAbort", () => {
  it.each([
    { listeners: 10_001, warnings: 1 },
    { listeners: 1_000, warnings: 0 },
  ])("lets Node warn $warnings times about $listeners listeners", async ({ listeners, warnings }) => {
    const { signal } = new AbortController();
    const addListeners = (): void => {
      for (let count = 0; count < listeners; count += 1) onAbort(signal, () => {});
    };
    expect(await countListenerWarnings(addListeners)).toBe(warnings);
  });
});

describe("abortable", () => {
  it("rejects with the signal's reason while the work is still running", async () => {
    const controller = new AbortController();
    const result = abortable(new Promise(() => {}), controller.signal);
    controller.abort(new Error("stopped"));
    await expect(result).rejects.toThrow("stopped");
  });
});

describe("linkSignals", () => {
  it("aborts with the reason of the first parent that aborts", () => {
    const [caller, term] = [new AbortController(), new AbortController()];
    const link = linkSignals(caller.signal, term.signal);
    term.abort("the term ended");
    caller.abort("the caller hung up");
    expect(link.signal.reason).toBe("the term ended");
  });

  it("does not abort after it is unlinked", () => {
    const parent = new AbortController();
    const link = linkSignals(parent.signal);
    link.unlink();
    parent.abort();
    expect(link.signal.aborted).toBe(false);
  });
});
