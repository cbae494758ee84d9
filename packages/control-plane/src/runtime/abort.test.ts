import { describe, expect, it, vi } from "vitest";
import { abortable, linkSignals, onAbort } from "./abort.js";

describe("onAbort", () => {
  it("makes Node warn about a signal that collects listeners without end", async () => {
    const warn = vi.fn<(warning: Error) => void>();
    process.on("warning", warn);
    try {
      const { signal } = new AbortController();
      for (let count = 0; count <= 10_000; count += 1) onAbort(signal, () => {});
      await vi.waitFor(() => expect(warn).toHaveBeenCalled());
    } finally {
      process.off("warning", warn);
    }
    expect(warn.mock.calls[0]?.[0].name).toBe("MaxListenersExceededWarning");
  });

  it("does not make Node warn about a thousand calls in flight", async () => {
    const warn = vi.fn();
    process.on("warning", warn);
    const { signal } = new AbortController();
    for (let count = 0; count < 1_000; count += 1) onAbort(signal, () => {});
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", warn);
    expect(warn).not.toHaveBeenCalled();
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
