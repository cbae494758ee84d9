import { Client, Metadata } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ControlServiceService, GetNodeResponse } from "../../gen/berth/v1/control.js";
import { BERTH_VERSION, PROTOCOL_VERSIONS } from "../version.js";
import { createRpcClient } from "./client.js";
import { TLS_CLIENT_OPTIONS, tlsChannelCredentials } from "./credentials.js";
import { forwardService } from "./forward.js";
import { preserveReceived } from "./preserve-received.js";
import type { RotatingIdentity } from "./rpc-identity.js";
import { type RpcServer, rpcService, startRpcServer } from "./server.js";
import { fromServiceError } from "./status.js";
import { identityOf, TlsCluster } from "./testing/tls-cluster.js";
import type { RpcHandlers } from "./types.js";

const CONTROL = preserveReceived(ControlServiceService);
const { getNode } = ControlServiceService;
/** A field that no release has yet, as a newer release would send it. */
const UNKNOWN_FIELD = Buffer.from([0xfa, 0x7f, 0x03, ...Buffer.from("new")]);

let cluster: TlsCluster;
let admin: RotatingIdentity;
let leader: RpcServer;
let follower: RpcServer;
const received: Buffer[] = [];

beforeAll(async () => {
  cluster = await TlsCluster.start();
  admin = await identityOf(cluster.ca, { kind: "user", name: "admin" });
  leader = await serve({ getNode: async () => GetNodeResponse.fromPartial({}) });
  const connection = createRpcClient(CONTROL, {
    address: leader.address,
    identity: cluster.identity,
    forwarded: true,
  });
  follower = await serve(forwardService(CONTROL, async () => connection.calls));
});
afterAll(async () => {
  await Promise.all([leader, follower].map((server) => server.close(0)));
  await cluster.close();
});

/** Starts a server that answers each `GetNode` with a field that this release does not know. */
function serve(handlers: Partial<RpcHandlers<typeof ControlServiceService>>): Promise<RpcServer> {
  const isForwarding = Object.keys(handlers).length > 1;
  const newer = {
    ...getNode,
    requestDeserialize: (bytes: Buffer) => {
      received.push(bytes);
      return getNode.requestDeserialize(bytes);
    },
    responseSerialize: () => UNKNOWN_FIELD,
  };
  const definition = isForwarding ? CONTROL : { ...ControlServiceService, getNode: newer };
  const missing = Object.fromEntries(Object.keys(definition).map((name) => [name, async () => ({})]));
  const service = rpcService(definition, { ...missing, ...handlers } as never);
  const listener = { kind: "tcp", address: "127.0.0.1:0", security: cluster.security } as const;
  return startRpcServer({ listener, services: [service] });
}

/** Calls `GetNode` with these bytes and this metadata, as another release does. Returns the bytes of the response. */
async function callRaw(
  { address }: RpcServer,
  bytes: Buffer,
  fields: Readonly<Record<string, string>>,
): Promise<Buffer> {
  const client = new Client(address, tlsChannelCredentials(admin.current), TLS_CLIENT_OPTIONS);
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(fields)) metadata.set(key, value);
  try {
    return await new Promise((resolve, reject) => {
      const same = (value: Buffer): Buffer => value;
      client.makeUnaryRequest(getNode.path, same, same, bytes, metadata, (error, response) => {
        if (error !== null) {
          reject(fromServiceError(error, address));
        } else {
          resolve(response ?? Buffer.alloc(0));
        }
      });
    });
  } finally {
    client.close();
  }
}

test("calls of this release, the one before and the next one are accepted", async () => {
  const next = `${PROTOCOL_VERSIONS.newest}-${PROTOCOL_VERSIONS.newest + 1}`;
  for (const fields of [{}, { "berth-protocol": "1-2" }, { "berth-protocol": next }]) {
    await expect(callRaw(leader, Buffer.alloc(0), fields)).resolves.toEqual(UNKNOWN_FIELD);
  }
});

test("a call of a release that is too new is refused before its request is decoded", async () => {
  received.length = 0;
  const fields = { "berth-protocol": "8-9", "berth-release": "9.0.0" };
  await expect(callRaw(leader, Buffer.alloc(0), fields)).rejects.toMatchObject({
    code: "BERTH_VERSION_UNSUPPORTED",
    message: `releases are too far apart: the command line (release 9.0.0) uses protocol 8 to 9, but the server (release ${BERTH_VERSION}) uses protocol 1 to 2; upgrade the server, one release at a time`,
    details: { own: "1-2", peer: "8-9", upgrade: "server" },
  });
  expect(received).toEqual([]);
});

test("a call with a malformed version is refused", async () => {
  await expect(callRaw(leader, Buffer.alloc(0), { "berth-protocol": "new" })).rejects.toMatchObject({
    code: "BERTH_PROTOCOL",
  });
});

test("a forwarded call keeps the fields of the request and of the response that only newer releases know", async () => {
  received.length = 0;
  const response = await callRaw(follower, UNKNOWN_FIELD, {});
  expect(received).toEqual([UNKNOWN_FIELD]);
  expect(response).toEqual(UNKNOWN_FIELD);
});
