import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import type { ServerInterceptingCallInterface } from "@grpc/grpc-js";
import { afterEach, expect, it, vi } from "vitest";
import { ControlServiceService, DeployStackRequest } from "../../gen/berth/v1/control.js";
import { createRpcClient } from "./client.js";
import { decoderOf } from "./request-size.js";
import { rpcService } from "./server.js";
import { identityOf, TlsCluster } from "./testing/tls-cluster.js";

const MIB = 1024 * 1024;
const RESOURCE_EXHAUSTED = "8";
const WAIT = { timeout: 20_000, interval: 50 };
const cleanUps: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function serve() {
  const cluster = await TlsCluster.start();
  cleanUps.push(() => cluster.close());
  const { deployStack, putFile } = ControlServiceService;
  const definition = { deployStack, putFile };
  const service = rpcService(definition, {
    deployStack: async () => deployStack.responseDeserialize(Buffer.alloc(0)),
    putFile: async () => putFile.responseDeserialize(Buffer.alloc(0)),
  });
  const address = await cluster.serve([service], cluster.identity);
  const connectAs = async (name: string) => {
    const identity = await identityOf(cluster.ca, { kind: "user", name });
    const client = createRpcClient(definition, { address, identity });
    cleanUps.push(client.close);
    return client.calls;
  };
  const openSession = async (name: string): Promise<ClientHttp2Session> => {
    const leaf = await cluster.ca.issue({ kind: "user", name });
    const tls = { rejectUnauthorized: false, cert: leaf.certificate, key: leaf.key };
    const session = connectHttp2(`https://${address}`, tls);
    session.on("error", () => {});
    cleanUps.push(() => session.destroy());
    return session;
  };
  return { connectAs, openSession };
}

/** Sends the beginning of a request, by default all but its last byte. Calls `onStatus` with the status of the call. */
function sendUnfinished(
  session: ClientHttp2Session,
  path: string,
  {
    bytes,
    sentBytes = bytes - 1,
    onStatus,
  }: {
    readonly bytes: number;
    readonly sentBytes?: number;
    readonly onStatus: (status: string) => void;
  },
): void {
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => {});
  stream.on("response", (headers) => onStatus(String(headers["grpc-status"])));
  const request = Buffer.alloc(5 + sentBytes);
  request.writeUInt32BE(bytes, 1);
  stream.write(request);
}

it("limits the requests of a caller that arrive at the same time, and serves others", async () => {
  const { connectAs, openSession } = await serve();
  const { path } = ControlServiceService.deployStack;
  const statuses: string[] = [];
  const onStatus = (status: string): void => void statuses.push(status);
  // A busy server of Node.js refuses new streams of a session with more than 10 MB that it has not handled yet.
  const sessions = await Promise.all(Array.from({ length: 6 }, () => openSession("deployer")));
  for (const session of sessions) sendUnfinished(session, path, { bytes: 15 * MIB, onStatus });
  await vi.waitFor(() => expect(statuses).toContain(RESOURCE_EXHAUSTED), WAIT);
  expect(new Set(statuses)).toEqual(new Set([RESOURCE_EXHAUSTED]));
  // Requests that arrive before the first rejected call has ended are rejected as well.
  expect(statuses.length).toBeLessThan(sessions.length);
  const large = DeployStackRequest.fromPartial({ stack: "x".repeat(15 * MIB) });
  const admin = await connectAs("admin");
  await expect(admin.deployStack(large)).resolves.toBeDefined();
  for (const session of sessions) session.destroy();
  const deployer = await connectAs("deployer");
  for (let call = 0; call < 5; call++) {
    await vi.waitFor(() => expect(deployer.deployStack(large)).resolves.toBeDefined(), WAIT);
  }
});

it("rejects a request whose length exceeds the limit of its method before it has arrived", async () => {
  const { openSession } = await serve();
  const { path } = ControlServiceService.putFile;
  const statuses: string[] = [];
  const session = await openSession("deployer");
  sendUnfinished(session, path, {
    bytes: 2 * MIB,
    sentBytes: 1,
    onStatus: (status) => statuses.push(status),
  });
  await vi.waitFor(() => expect(statuses).toEqual([RESOURCE_EXHAUSTED]), WAIT);
});

it("refuses a call whose internals it does not know", () => {
  const call = { decoder: { maxReadMessageLength: 1, write: () => [] } } as object;
  const unknownVersion = "cannot limit requests: this version of @grpc/grpc-js is not supported";
  expect(() => decoderOf(call as ServerInterceptingCallInterface)).toThrow(unknownVersion);
  expect(() => decoderOf({} as ServerInterceptingCallInterface)).toThrow(unknownVersion);
});
