import { createServer } from "node:net";
import { expect, test } from "vitest";
import { isPortRefused } from "./refusal-probe.js";

const { signal } = new AbortController();

test("isPortRefused() distinguishes a refused connection from an accepted one", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  expect(await isPortRefused("127.0.0.1", address.port, signal)).toBe(false);
  await new Promise((resolve) => server.close(resolve));
  expect(await isPortRefused("127.0.0.1", address.port, signal)).toBe(true);
});

test("isPortRefused() returns false when it cannot tell", async () => {
  expect(await isPortRefused("no address", 80, signal)).toBe(false);
  expect(await isPortRefused("127.0.0.1", 80, AbortSignal.abort())).toBe(false);
});
