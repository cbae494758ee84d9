import { setTimeout as delay } from "node:timers/promises";
import {
  credentials,
  Client as GrpcClient,
  Metadata,
  Server,
  ServerCredentials,
  status,
} from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ControlServiceService } from "../../gen/berth/v1/control.js";
import { SessionRequest } from "../../gen/berth/v1/dispatcher.js";
import { certificateFacts, parseCertificate } from "../identity/certificate.js";
import type { Identity } from "../identity/identity.js";
import { HOUR_MS, TestAuthority } from "../identity/testing/test-authority.js";
import { createRpcClient } from "./client.js";
import { RotatingIdentity } from "./rpc-identity.js";
import { rpcService, startRpcServer } from "./server.js";
import { FOLLOW, identityOf, openStream, outcomeOf, TlsCluster } from "./testing/tls-cluster.js";
import type { RpcHandlers } from "./types.js";

type Client = ReturnType<TlsCluster["connect"]>;

const user = (name: string): Identity => ({ kind: "user", name });
const NODE: Identity = { kind: "node", id: "n1" };
const SERVER: Identity = { kind: "server", id: "s2" };

/** One method of each group of the table, and the calls of a node for itself and for another node. */
const CALLS = {
  read: ({ control }: Client) => control.getNode({ node: "n" }),
  readStream: async ({ control }: Client) =>
    (await openStream((options) => control.streamLogs(FOLLOW, options))).close(),
  deploy: ({ control }: Client) => control.removeServices({ stack: "s", services: [] }),
  exec: async ({ control }: Client) =>
    (await openStream((options) => control.exec(nothing(), options))).close(),
  admin: ({ control }: Client) => control.removeNode({ node: "n" } as never),
  session: ({ dispatcher }: Client) => hello(dispatcher, "n1"),
  otherSession: ({ dispatcher }: Client) => hello(dispatcher, "n2"),
  peer: ({ peer }: Client) => peer.checkLeader({ epoch: 1 }),
};

async function* nothing(): AsyncGenerator<never> {}

async function hello(dispatcher: Client["dispatcher"], nodeId: string): Promise<void> {
  async function* requests() {
    yield SessionRequest.fromPartial({ message: { $case: "hello", value: { nodeId } } });
  }
  for await (const _ of dispatcher.session(requests())) break;
}

/** o: ok; U: unauthenticated; D: permission denied. In the order of CALLS. */
async function matrixRow(client: Client): Promise<string> {
  const codes: Record<string, string> = { ok: "o", BERTH_UNAUTHENTICATED: "U", BERTH_PERMISSION_DENIED: "D" };
  const outcomes = await Promise.all(Object.values(CALLS).map((call) => outcomeOf(call(client))));
  return outcomes.map((outcome) => codes[outcome] ?? outcome).join("");
}

let cluster: TlsCluster;

beforeAll(async () => {
  cluster = await TlsCluster.start();
});

afterAll(() => cluster.close());

describe("rpc-matrix: a server", () => {
  const anonymous = () =>
    cluster.connect(new RotatingIdentity({ authorities: cluster.ca.certificate, leaf: undefined }));
  /** A client whose certificate another CA has issued. It trusts the server, unlike the server the client. */
  const ofOtherCa = async (name: string, identity: Identity) => {
    const other = await TestAuthority.create(name);
    const leaf = await other.issue(identity);
    const trusting = { authorities: cluster.ca.certificate, leaf };
    return cluster.connect({ current: trusting, subscribe: () => () => {} } as unknown as RotatingIdentity);
  };
  const revoked = async () => {
    const identity = await identityOf(cluster.ca, user("admin"));
    const { serial } = certificateFacts(parseCertificate(identity.current.leaf?.certificate ?? ""));
    cluster.revocations.revoke(serial);
    return cluster.connect(identity);
  };
  /** Calls that claim to be forwarded for an admin. */
  const forging = async (identity: Identity) => {
    const client = cluster.connect(await identityOf(cluster.ca, identity), { forwarded: true });
    return client;
  };

  it.each([
    ["without a certificate", anonymous, "UUUUUUUU"],
    [
      "with a certificate of another CA of the same cluster",
      () => ofOtherCa("test", user("admin")),
      "UUUUUUUU",
    ],
    ["with a certificate of another cluster", () => ofOtherCa("other", user("admin")), "UUUUUUUU"],
    ["with an expired certificate", () => cluster.connectAs(user("admin"), { untilMs: -1_000 }), "UUUUUUUU"],
    [
      "with a certificate that is not valid yet",
      () => cluster.connectAs(user("admin"), { fromMs: HOUR_MS / 2 }),
      "UUUUUUUU",
    ],
    ["with a revoked certificate", revoked, "UUUUUUUU"],
    ["of a user without a role", () => cluster.connectAs(user("guest")), "DDDDDDDD"],
    ["of a viewer", () => cluster.connectAs(user("viewer")), "ooDDDDDD"],
    ["of a deployer", () => cluster.connectAs(user("deployer")), "ooooDDDD"],
    ["of an admin", () => cluster.connectAs(user("admin")), "oooooDDD"],
    ["of a node", () => cluster.connectAs(NODE), "DDDDDoDD"],
    ["of a server", () => cluster.connectAs(SERVER), "DDDDDDDo"],
    ["of a viewer that forges the forwarding of a call", () => forging(user("viewer")), "DDDDDDDD"],
    ["of a node that forges the forwarding of a call", () => forging(NODE), "DDDDDDDD"],
    ["of a server that forwards calls of callers without a certificate", () => forging(SERVER), "UUUUUUUU"],
  ])("answers each call %s as the permissions say", async (_, connect, expected) => {
    expect(await matrixRow(await connect())).toBe(expected);
  });

  it("passes the caller to handlers, and the original caller of a call that a server forwards", async () => {
    const call = async (client: Client, forwardedFor?: { client: string; caller: Identity }) => {
      cluster.contexts.length = 0;
      await client.control.getNode({ node: "n" }, forwardedFor ? { forwardedFor } : {});
      const [{ caller, client: address, forwarded, peer } = { caller: undefined }] = cluster.contexts;
      return { caller, address, forwarded, peer };
    };
    const direct = await call(await cluster.connectAs(user("viewer")));
    expect(direct).toMatchObject({ caller: user("viewer"), forwarded: false });
    expect(direct.address).toBe(direct.peer);
    const server = await forging(SERVER);
    expect(await call(server, { client: "10.0.0.9:1", caller: user("viewer") })).toMatchObject({
      caller: user("viewer"),
      forwarded: true,
      address: "10.0.0.9:1",
    });
    const denied = server.control.removeNode({ node: "n" } as never, {
      forwardedFor: { client: "10.0.0.9:1", caller: user("viewer") },
    });
    await expect(denied).rejects.toMatchObject({
      code: "BERTH_PERMISSION_DENIED",
      message:
        'user "viewer" with the role viewer may not call ControlService/RemoveNode: it requires the role admin',
    });
  });

  it("says which certificate it rejects and why", async () => {
    const client = await cluster.connectAs(NODE, { untilMs: -1_000 });
    await expect(client.control.getNode({ node: "n" })).rejects.toMatchObject({
      code: "BERTH_UNAUTHENTICATED",
      message: expect.stringMatching(
        /^the server rejected the certificate: certificate of node "n1" expired at .*Z: the server's clock says .*Z; renew/,
      ),
      details: { reason: "expired" },
    });
  });

  it("does not decode the request of a call that it rejects", async () => {
    let decoded = 0;
    const { getNode } = ControlServiceService;
    const requestDeserialize = (bytes: Buffer) => {
      decoded += 1;
      return getNode.requestDeserialize(bytes);
    };
    const definition = { getNode: { ...getNode, requestDeserialize } };
    const handlers: RpcHandlers<typeof definition> = { getNode: async () => ({ node: undefined }) };
    const address = await cluster.serve([rpcService(definition, handlers)], cluster.identity);
    const connect = async (name: string) =>
      cluster.connect(await identityOf(cluster.ca, user(name)), { address });
    const large = { node: "x".repeat(1_000_000) };
    await expect((await connect("guest")).control.getNode(large)).rejects.toMatchObject({
      code: "BERTH_PERMISSION_DENIED",
    });
    expect(decoded).toBe(0);
    await (await connect("viewer")).control.getNode(large);
    expect(decoded).toBe(1);
  });

  it("ends streams and calls when the certificate expires while they run, and rejects further calls", async () => {
    const other = await openFollowing(await cluster.connectAs(user("admin")));
    // Long enough to connect on a busy machine.
    const untilMs = 5_000;
    const admin = await cluster.connectAs(user("admin"), { untilMs });
    const node = await cluster.connectAs(NODE, { untilMs });
    const stream = await openFollowing(admin);
    const push = outcomeOf(node.dispatcher.pushLogs(silence()));
    expect(await Promise.all([stream.ended, push])).toEqual([
      "BERTH_UNAUTHENTICATED",
      "BERTH_UNAUTHENTICATED",
    ]);
    expect(stream.error()).toMatchObject({ details: { reason: "expired" } });
    expect(await outcomeOf(admin.control.getNode({ node: "n" }))).toBe("BERTH_UNAUTHENTICATED");
    expect(await Promise.race([other.ended, "open"])).toBe("open");
    await other.close();
  });

  it("ends streams when the certificate is revoked, and no others", async () => {
    const identity = await identityOf(cluster.ca, user("admin"));
    const stream = await openFollowing(cluster.connect(identity));
    const other = await openFollowing(await cluster.connectAs(user("admin")));
    const { serial } = certificateFacts(parseCertificate(identity.current.leaf?.certificate ?? ""));
    cluster.revocations.revoke(serial);
    expect(await stream.ended).toBe("BERTH_UNAUTHENTICATED");
    expect(stream.error()).toMatchObject({ message: expect.stringContaining(`${serial} has been revoked`) });
    expect(await Promise.race([other.ended, "open"])).toBe("open");
    await other.close();
  });

  it("refuses to start with a method that has no permissions", async () => {
    const { getNode } = ControlServiceService;
    const definition = { forgotten: { ...getNode, path: "/berth.v1.ControlService/Forgotten" } };
    const started = startRpcServer({
      listener: { kind: "tcp", address: "127.0.0.1:0", security: cluster.security },
      services: [rpcService(definition, { forgotten: async () => ({ node: undefined }) })],
    });
    await expect(started).rejects.toThrow("no permissions for /berth.v1.ControlService/Forgotten");
  });
});

describe("rpc-matrix: a client", () => {
  it.each<[string, Identity, RegExp]>([
    ["a node that pretends to be a server", NODE, /certificate of node "n1" is not a server certificate/],
    [
      "a user that pretends to be a server",
      user("admin"),
      /certificate of user "admin" is not a server certificate/,
    ],
  ])("a client rejects %s", async (_, identity, message) => {
    const address = await cluster.serve(cluster.services(), await identityOf(cluster.ca, identity));
    const client = cluster.connect(await identityOf(cluster.ca, user("admin")), { address });
    await expect(client.control.getNode({ node: "n" })).rejects.toMatchObject({
      code: "BERTH_CERTIFICATE_INVALID",
      message: expect.stringMatching(message),
    });
  });

  it("rejects a server of another CA, an expired server, and a server without TLS", async () => {
    const impostor = await TestAuthority.create();
    const identities = [
      await identityOf(impostor, SERVER),
      await identityOf(cluster.ca, SERVER, { untilMs: -1_000 }),
    ];
    const admin = await identityOf(cluster.ca, user("admin"));
    for (const identity of identities) {
      const address = await cluster.serve(cluster.services(), identity);
      expect(await outcomeOf(cluster.connect(admin, { address }).control.getNode({ node: "n" }))).toBe(
        "BERTH_CERTIFICATE_INVALID",
      );
    }
    const plain = new Server();
    const port = await new Promise((resolve, reject) => {
      plain.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) {
          resolve(bound);
        } else {
          reject(error);
        }
      });
    });
    const address = `127.0.0.1:${port}`;
    expect(await outcomeOf(cluster.connect(admin, { address }).control.getNode({ node: "n" }))).toBe(
      "BERTH_SERVER_UNREACHABLE",
    );
    plain.forceShutdown();
  });

  it("a client without an identity cannot be created for a TCP address", () => {
    const { address } = cluster;
    // @ts-expect-error the type requires an identity
    expect(() => createRpcClient(ControlServiceService, { address })).toThrow(
      `cannot connect to the berth server at ${address} without an identity`,
    );
  });

  it("causes no warning about the server name of an IP address", async () => {
    const warnings: string[] = [];
    const listener = (warning: Error): void => void warnings.push(warning.message);
    process.on("warning", listener);
    await (await cluster.connectAs(user("admin"))).control.getNode({ node: "n" });
    await delay(10);
    process.off("warning", listener);
    expect(warnings).toEqual([]);
  });
});

it("a server with TLS does not respond a client of another program without TLS", async () => {
  const client = new GrpcClient(cluster.address, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = ControlServiceService.getNode;
  const call = new Promise((resolve, reject) => {
    const deadline = Date.now() + 5_000;
    const onResponse = (error: unknown, response: unknown) =>
      error === null ? resolve(response) : reject(error);
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      { node: "n" },
      new Metadata(),
      { deadline },
      onResponse,
    );
  });
  await expect(call).rejects.toMatchObject({ code: status.UNAVAILABLE });
  client.close();
});

async function* silence(): AsyncGenerator<never> {
  await new Promise(() => {});
}

function openFollowing({ control }: ReturnType<TlsCluster["connect"]>) {
  return openStream((options) => control.streamLogs(FOLLOW, options));
}
