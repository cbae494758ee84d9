import { createServer } from "node:net";
import { expect, test } from "vitest";
import { createProbe } from "./tcp-probe.js";

const probe = createProbe();
const { signal } = new AbortController();
const at = (address: string, port: number) => ({ address, port, tries: 1, tryMs: 200 });

test("the probe counts a refused connection as an answer", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  expect(await probe(at("127.0.0.1", address.port), signal)).toBe(true);
  await new Promise((resolve) => server.close(resolve));
  expect(await probe(at("127.0.0.1", address.port), signal)).toBe(true);
  expect(await probe(at("::1", address.port), signal)).toBe(true);
});

test("the probe tries as often as requested and waits for answers to all tries", async () => {
  const began = performance.now();
  // Not even our own kernel would send anything there.
  expect(await probe({ ...at("255.255.255.255", 7402), tries: 3, tryMs: 30 }, signal)).toBe(false);
  expect(performance.now() - began).toBeGreaterThanOrEqual(80);
});

test("the probe returns false for an unreachable address and when aborted", async () => {
  expect(await probe(at("no address", 7402), signal)).toBe(false);
  expect(await probe(at("127.0.0.1", 7402), AbortSignal.abort())).toBe(false);
});
