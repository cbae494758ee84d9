import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { probeHost } from "./probe-host.js";

const never = new AbortController().signal;

/** Everybody, whom no connection can be made to. */
const NOWHERE = "255.255.255.255";

async function portOf(listens: boolean): Promise<{ readonly port: number; close(): void }> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  if (!listens) await new Promise((resolve) => server.close(resolve));
  return { port, close: () => void server.close() };
}

describe("probeHost()", () => {
  it("takes an acceptance and a refusal for signs of life", async () => {
    const open = await portOf(true);
    const closed = await portOf(false);
    const target = { address: "127.0.0.1", tries: 1, tryMs: 2_000 };
    expect(await probeHost({ ...target, port: open.port }, never)).toBe(true);
    expect(await probeHost({ ...target, port: closed.port }, never)).toBe(true);
    open.close();
  });

  it("takes silence for none, after all tries", async () => {
    const startedMs = performance.now();
    expect(await probeHost({ address: NOWHERE, port: 9, tries: 2, tryMs: 50 }, never)).toBe(false);
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(95);
  });

  it("ends when its signal fires", async () => {
    const over = new AbortController();
    const asked = probeHost({ address: NOWHERE, port: 9, tries: 1, tryMs: 60_000 }, over.signal);
    over.abort();
    expect(await asked).toBe(false);
    expect(await probeHost({ address: NOWHERE, port: 9, tries: 1, tryMs: 60_000 }, over.signal)).toBe(false);
  });
});
