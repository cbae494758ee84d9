import { createServer } from "node:net";
import { expect, test } from "vitest";
import { knockAt } from "./knock.js";

const { signal } = new AbortController();

test("knockAt tells a port that refuses from one that accepts", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  expect(await knockAt("127.0.0.1", address.port, signal)).toBe(false);
  await new Promise((resolve) => server.close(resolve));
  expect(await knockAt("127.0.0.1", address.port, signal)).toBe(true);
});

test("knockAt calls nothing refused that it cannot tell", async () => {
  expect(await knockAt("no address", 80, signal)).toBe(false);
  expect(await knockAt("127.0.0.1", 80, AbortSignal.abort())).toBe(false);
});
