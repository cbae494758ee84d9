import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { ControlServiceService } from "@berth/proto";
import { expect, it, onTestFinished } from "vitest";
import { TestAuthority } from "../identity/testing/test-authority.js";
import { createRpcClient } from "./client.js";
import { RotatingIdentity } from "./rpc-identity.js";

it("a client that closes also closes a connection whose TLS handshake is in progress", async () => {
  // Accepts connections, but never answers.
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  const ca = await TestAuthority.create();
  const leaf = await ca.issue({ kind: "user", name: "admin" });
  const identity = new RotatingIdentity({ authorities: ca.certificate, leaf });
  const client = createRpcClient(ControlServiceService, { address: `127.0.0.1:${address.port}`, identity });
  const call = client.calls.getCluster({}).catch(() => "failed");
  const [socket] = (await once(server, "connection")) as [Socket];
  onTestFinished(() => void socket.destroy());
  // The beginning of the handshake.
  await once(socket, "data");
  client.close();
  await once(socket, "close");
  expect(await call).toBe("failed");
});
