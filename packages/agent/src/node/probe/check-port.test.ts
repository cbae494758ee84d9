import { createServer } from "node:net";
import { expect, test } from "vitest";
import { checkPort } from "./check-port.js";

const { signal } = new AbortController();

test("checkPort distinguishes an accepted connection from a refused one", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  expect(await checkPort("127.0.0.1", address.port, signal)).toBe("accepted");
  await new Promise((resolve) => server.close(resolve));
  expect(await checkPort("127.0.0.1", address.port, signal)).toBe("refused");
});

test("checkPort returns unanswered when the connection fails otherwise, or is aborted", async () => {
  // The kernel does not connect a TCP socket to the broadcast address.
  expect(await checkPort("255.255.255.255", 80, signal)).toBe("unanswered");
  expect(await checkPort("127.0.0.1", 80, AbortSignal.abort())).toBe("unanswered");
});
