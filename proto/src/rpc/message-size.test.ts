import { connect as connectHttp2 } from "node:http2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ControlServiceService } from "../../gen/berth/v1/control.js";
import { DispatcherServiceService } from "../../gen/berth/v1/dispatcher.js";
import { PeerServiceService } from "../../gen/berth/v1/peer.js";
import type { Identity } from "../identity/identity.js";
import { PERMISSIONS, type Role } from "./permissions.js";
import { rpcService } from "./server.js";
import { TlsCluster } from "./testing/tls-cluster.js";
import type { RpcDefinition, RpcMethod } from "./types.js";

const SERVICES: readonly RpcDefinition[] = [
  ControlServiceService,
  DispatcherServiceService,
  PeerServiceService,
];
const PATHS = SERVICES.flatMap((service) => Object.values(service).map(({ path }) => path));
const CALLERS: readonly (readonly [string, Identity])[] = [
  ["admin", { kind: "user", name: "admin" }],
  ["node", { kind: "node", id: "n1" }],
  ["server", { kind: "server", id: "s2" }],
];
const RESOURCE_EXHAUSTED = "8";
const MESSAGE_BYTES = 64 * 1024 * 1024;
const TIMEOUT_MS = 5_000;

const rolesOf = (path: string): readonly Role[] => new Map(Object.entries(PERMISSIONS)).get(path) ?? [];

let cluster: TlsCluster;
let address: string;

beforeAll(async () => {
  cluster = await TlsCluster.start();
  address = await cluster.serve(SERVICES.map(readingService), cluster.identity);
});

afterAll(() => cluster.close());

/** Returns a service that reads all requests of a call and then answers. */
function readingService(definition: RpcDefinition) {
  const handler = (method: RpcMethod) => {
    const unary = async (input: unknown) => {
      if (method.requestStream) for await (const _ of input as AsyncIterable<unknown>);
      return method.responseDeserialize(Buffer.alloc(0));
    };
    async function* stream(input: unknown) {
      yield await unary(input);
    }
    return method.responseStream ? stream : unary;
  };
  const handlers = Object.entries(definition).map(([name, method]) => [name, handler(method)]);
  return rpcService(definition, Object.fromEntries(handlers));
}

/** Announces a message of 64 MiB and sends its first bytes only. Returns the gRPC status that the server answers with. */
async function announce(path: string, identity: Identity | undefined): Promise<string> {
  const leaf = identity && (await cluster.ca.issue(identity));
  const session = connectHttp2(`https://${address}`, {
    rejectUnauthorized: false,
    ...(leaf && { cert: leaf.certificate, key: leaf.key }),
  });
  session.on("error", () => {});
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
  });
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(MESSAGE_BYTES, 1);
  stream.on("error", () => {});
  stream.write(Buffer.concat([prefix, Buffer.alloc(1_024)]));
  const status = await new Promise<string>((resolve) => {
    setTimeout(() => resolve("no answer"), TIMEOUT_MS).unref();
    for (const event of ["response", "trailers"] as const) {
      stream.on(event, (headers) => {
        if (headers["grpc-status"] !== undefined) resolve(String(headers["grpc-status"]));
      });
    }
    stream.resume();
  });
  session.destroy();
  return status;
}

describe("lying-agent: a message of 64 MiB", () => {
  it.each(PATHS)("a message of 64 MiB is refused by %s as soon as its length has arrived", async (path) => {
    const [, identity] = CALLERS.find(([role]) => rolesOf(path).some((allowed) => allowed === role)) ?? [];
    expect(await announce(path, identity)).toBe(RESOURCE_EXHAUSTED);
  });
});
