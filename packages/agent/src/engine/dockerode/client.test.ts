import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EngineClient } from "./client.js";

test("does not send a request over a connection that was open before", async () => {
  const directory = await mkdtemp(join(tmpdir(), "berth-client-"));
  const socketPath = join(directory, "docker.sock");
  const daemon = createServer((_, response) => response.writeHead(200).end());
  try {
    await once(daemon.listen(socketPath), "listening");
    const client = new EngineClient(socketPath);
    const request = { method: "GET", path: "/_ping", signal: new AbortController().signal } as const;
    await client.request(request);
    // As a daemon that shuts down: it only stops listening. The method of `daemon` would also close idle connections.
    Server.prototype.close.call(daemon);
    await expect(client.request(request)).rejects.toMatchObject({ kind: "unavailable" });
  } finally {
    daemon.closeAllConnections();
    await rm(directory, { recursive: true, force: true });
  }
});
