import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type ClientHttp2Session, connect as connectHttp2, type Settings } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import type { ExecRequest, ExecResponse } from "../../gen/berth/v1/control.js";
import { PeerServiceService } from "../../gen/berth/v1/peer.js";
import { ControlServiceService } from "../chunks/services.js";
import { createRpcClient } from "./client.js";
import { SERVER_WINDOW_BYTES } from "./flow-control.js";
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
  expect(settings.initialWindowSize).toBe(SERVER_WINDOW_BYTES);
  await vi.waitFor(() => expect(session.state.remoteWindowSize).toBe(SERVER_WINDOW_BYTES));
}

test("a server with TLS sets the flow control windows of its connections", async () => {
  const cluster = await TlsCluster.start();
  cleanUps.push(() => cluster.close());
  const address = await cluster.serve([peerService()], cluster.identity);
  await expectWindows(connectHttp2(`https://${address}`, { rejectUnauthorized: false }));
});

test("a server on a Unix socket sets the flow control windows of its connections", async () => {
  const directory = await mkdtemp(join(tmpdir(), "berth-windows-"));
  cleanUps.push(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, "server.sock");
  const server = await startRpcServer({ listener: { kind: "unix", path }, services: [peerService()] });
  cleanUps.push(() => server.close(0));
  await expectWindows(connectHttp2("http://localhost", { createConnection: () => connect({ path }) }));
});

test("a call that is full in both directions does not block itself", async () => {
  const directory = await mkdtemp(join(tmpdir(), "berth-windows-"));
  cleanUps.push(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, "server.sock");
  const definition = { exec: ControlServiceService.exec };
  const echo = rpcService(definition, {
    async *exec(requests): AsyncGenerator<ExecResponse> {
      for await (const { message } of requests) {
        if (message?.$case !== "input" || message.value.message?.$case !== "stdin") continue;
        yield { output: { message: { $case: "stdout", value: message.value.message.value } } };
      }
    },
  });
  const server = await startRpcServer({ listener: { kind: "unix", path }, services: [echo] });
  cleanUps.push(() => server.close(0));
  const client = createRpcClient(definition, { socket: path });
  cleanUps.push(() => client.close());
  const chunk = Buffer.alloc(64 * 1024);
  const count = 256;
  const requests = async function* (): AsyncGenerator<ExecRequest> {
    for (let sent = 0; sent < count; sent += 1) {
      yield { message: { $case: "input", value: { message: { $case: "stdin", value: chunk } } } };
    }
  };
  let bytes = 0;
  for await (const { output } of client.calls.exec(requests())) {
    if (output?.message?.$case === "stdout") bytes += output.message.value.length;
  }
  expect(bytes).toBe(count * chunk.length);
});
