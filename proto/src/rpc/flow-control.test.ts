import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type ClientHttp2Session, connect as connectHttp2, type Settings } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { PeerServiceService } from "../../gen/berth/v1/peer.js";
import { FLOW_CONTROL_WINDOW_BYTES } from "./flow-control.js";
import { type RpcService, rpcService, startRpcServer } from "./server.js";
import { TlsCluster } from "./testing/tls-cluster.js";

const cleanUps: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

function peerService(): RpcService {
  return rpcService(PeerServiceService, {
    checkLeader: async () => ({ reachable: true }),
    fetchClusterKey: async () => ({ clusterKey: Buffer.alloc(0) }),
    recordRefusedCalls: async () => ({}),
  });
}

/** Expects that the client may send a whole window in a call and on the connection. */
async function expectWindows(session: ClientHttp2Session): Promise<void> {
  cleanUps.push(() => session.destroy());
  const [settings] = (await once(session, "remoteSettings")) as [Settings];
  expect(settings.initialWindowSize).toBe(FLOW_CONTROL_WINDOW_BYTES);
  await vi.waitFor(() => expect(session.state.remoteWindowSize).toBe(FLOW_CONTROL_WINDOW_BYTES));
}

test("a server with TLS sets the flow control windows of its connections", async () => {
  const cluster = await TlsCluster.start();
  cleanUps.push(() => cluster.close());
  const address = await cluster.serve([peerService()], cluster.identity);
  await expectWindows(connectHttp2(`https://${address}`, { rejectUnauthorized: false }));
});

test("a server on a unix socket sets the flow control windows of its connections", async () => {
  const folder = await mkdtemp(join(tmpdir(), "berth-windows-"));
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "server.sock");
  const server = await startRpcServer({ listener: { kind: "unix", path }, services: [peerService()] });
  cleanUps.push(() => server.close(0));
  await expectWindows(connectHttp2("http://localhost", { createConnection: () => connect({ path }) }));
});
