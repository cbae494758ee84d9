import { createServer } from "node:net";
import { PortSpec_Protocol } from "@berth/proto";
import { expect, test } from "vitest";
import { readListeners } from "./read-listeners.js";

test("readListeners finds a program that listens, by address and port", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    expect(await readListeners()).toContainEqual({
      protocol: PortSpec_Protocol.TCP,
      address: "127.0.0.1",
      port,
    });
  } finally {
    server.close();
  }
});

test("readListeners finds nothing where the kernel shows nothing", async () => {
  expect(await readListeners("/nonexistent")).toEqual([]);
});
