import { createServer } from "node:net";
import { expect, test } from "vitest";
import { cheapProbe } from "./cheap-probe.js";

const probe = cheapProbe();
const { signal } = new AbortController();
const at = (address: string, port: number) => ({ address, port, tries: 1, tryMs: 200 });

test("cheapProbe() takes a refusal for an answer as well as an acceptance", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  expect(await probe(at("127.0.0.1", address.port), signal)).toBe(true);
  await new Promise((resolve) => server.close(resolve));
  expect(await probe(at("127.0.0.1", address.port), signal)).toBe(true);
  expect(await probe(at("::1", address.port), signal)).toBe(true);
});

test("cheapProbe() tries as often as it is told to, and waits for all tries until the last one's time is over", async () => {
  const began = performance.now();
  // Not even our own kernel would send anything there.
  expect(await probe({ ...at("255.255.255.255", 7402), tries: 3, tryMs: 30 }, signal)).toBe(false);
  expect(performance.now() - began).toBeGreaterThanOrEqual(80);
});

test("cheapProbe() says no of what cannot be reached, or is called off", async () => {
  expect(await probe(at("no address", 7402), signal)).toBe(false);
  expect(await probe(at("127.0.0.1", 7402), AbortSignal.abort())).toBe(false);
});
