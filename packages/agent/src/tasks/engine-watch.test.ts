import { expect, test, vi } from "vitest";
import type { Engine } from "../engine/engine.js";
import { type EngineListener, watchEngine } from "./engine-watch.js";

const INFO = { version: "28.0", apiVersion: "1.48" } as Awaited<ReturnType<Engine["connect"]>>;

function engineWith(connect: () => Promise<typeof INFO>): Engine {
  async function* events({ signal }: { signal: AbortSignal }): AsyncGenerator<never> {
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  }
  return { connect, list: async () => [], ping: async () => {}, events } as unknown as Engine;
}

const listenerWith = (parts: Partial<EngineListener>): EngineListener => ({
  onConnected: () => {},
  onListed: () => {},
  onEvent: () => {},
  onDisconnected: () => {},
  ...parts,
});

test("watchEngine rejects with the listener's own exception and does not report Docker as unavailable", async () => {
  const onAway = vi.fn();
  const onConnected = (): void => {
    throw new TypeError("bug in the listener");
  };
  const watching = watchEngine(
    engineWith(async () => INFO),
    listenerWith({ onConnected, onDisconnected: onAway }),
    AbortSignal.timeout(5_000),
  );
  await expect(watching).rejects.toThrow("bug in the listener");
  expect(onAway).not.toHaveBeenCalled();
});

test("watchEngine reports an unavailable daemon once, and reconnects", async () => {
  const stopping = new AbortController();
  const onAway = vi.fn();
  let attempts = 0;
  const engine = engineWith(async () => {
    attempts += 1;
    if (attempts < 3) throw new Error("connection refused");
    return INFO;
  });
  const connected = new Promise<void>((resolve) => {
    void watchEngine(
      engine,
      listenerWith({ onDisconnected: onAway, onConnected: () => resolve() }),
      stopping.signal,
    );
  });
  await connected;
  stopping.abort();
  expect(onAway).toHaveBeenCalledTimes(1);
});
