import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ControlServiceService } from "../../gen/berth/v1/control.js";
import { DispatcherServiceService } from "../../gen/berth/v1/dispatcher.js";
import { ImageServiceService } from "../../gen/berth/v1/image.js";
import { PeerServiceService } from "../../gen/berth/v1/peer.js";
import { certificateFacts, parseCertificate } from "../identity/certificate.js";
import type { Identity } from "../identity/identity.js";
import { HOUR_MS, TestAuthority, type TestValidity } from "../identity/testing/test-authority.js";
import type { Caller } from "./caller.js";
import { createRpcClient } from "./client.js";
import { RotatingIdentity } from "./rpc-identity.js";
import { rpcService } from "./server.js";
import { identityOf, outcomeOf, TlsCluster } from "./testing/tls-cluster.js";
import type { CallOptions, RpcDefinition, RpcMethod } from "./types.js";

/** The published table, which says what each caller may do, and not the code that the server reads. */
const DOCUMENT = join(import.meta.dirname, "../../../docs/rpc-permissions.md");
const SERVICES: readonly RpcDefinition[] = [
  ControlServiceService,
  DispatcherServiceService,
  ImageServiceService,
  PeerServiceService,
];
const METHODS = SERVICES.flatMap((service) => Object.values(service)).map(nameOf);
const UNREACHABLE = "BERTH_SERVER_UNREACHABLE";
const MAX_TRIES = 10;
const RENEWAL = "ControlService/RenewCertificate";
const VIEWER: Identity = { kind: "user", name: "viewer" };
const ADMIN: Identity = { kind: "user", name: "admin" };
const NODE: Identity = { kind: "node", id: "n1" };
const SERVER: Identity = { kind: "server", id: "s2" };
/** Long enough to connect and to call every method on a busy machine. */
const SHORT_VALIDITY_MS = 6_000;

let cluster: TlsCluster;
let address: string;
/** The methods whose handlers have run. */
const handled: string[] = [];

beforeAll(async () => {
  cluster = await TlsCluster.start();
  address = await cluster.serve(SERVICES.map(answering), cluster.identity);
});

afterAll(() => cluster.close());

function nameOf({ path }: RpcMethod): string {
  return path.slice("/berth.v1.".length);
}

/** Returns a service that answers each call. */
function answering(definition: RpcDefinition) {
  const handler = (method: RpcMethod) => {
    const unary = async () => {
      handled.push(nameOf(method));
      return method.responseDeserialize(Buffer.alloc(0));
    };
    async function* stream() {
      yield await unary();
    }
    return method.responseStream ? stream : unary;
  };
  const handlers = Object.entries(definition).map(([name, method]) => [name, handler(method)]);
  return rpcService(definition, Object.fromEntries(handlers));
}

/** Connects, and returns a function that calls every method: those that are answered, and the errors of the others. */
function connect(identity: RotatingIdentity, options: { readonly forwardedFor?: Caller } = {}) {
  const { forwardedFor } = options;
  const callOptions: CallOptions = forwardedFor
    ? { forwardedFor: { client: "10.0.0.9:1", caller: forwardedFor } }
    : {};
  const clients = SERVICES.map((definition) => ({
    definition,
    client: createRpcClient(definition, { address, identity, forwarded: forwardedFor !== undefined }),
  }));
  const callAll = async () => {
    handled.length = 0;
    const calls = clients.flatMap(({ definition, client }) =>
      Object.entries(definition).map(async ([name, method]) => {
        const call = () => outcomeOf(callOnce(client.calls, name, method, callOptions));
        let outcome = await call();
        // The server closes a connection with a rejected certificate after a while, also between two calls.
        for (let tries = 1; outcome === UNREACHABLE && tries < MAX_TRIES; tries += 1) outcome = await call();
        return { method: nameOf(method), outcome };
      }),
    );
    const outcomes = await Promise.all(calls);
    const answered = outcomes.filter(({ outcome }) => outcome === "ok").map(({ method }) => method);
    const errors = new Set(outcomes.map(({ outcome }) => outcome).filter((outcome) => outcome !== "ok"));
    // No handler has run whose caller got an error.
    expect([...new Set(handled)].sort()).toEqual(answered.sort());
    return { answered, errors: [...errors] };
  };
  const close = () => {
    for (const { client } of clients) client.close();
  };
  return { callAll, close };
}

async function callOnce(calls: object, name: string, method: RpcMethod, options: CallOptions): Promise<void> {
  const request = method.requestStream ? nothing() : method.requestDeserialize(Buffer.alloc(0));
  const result = (calls as Record<string, (...args: unknown[]) => unknown>)[name]?.(request, options);
  if (!method.responseStream) return void (await result);
  for await (const _ of result as AsyncIterable<unknown>);
}

async function* nothing(): AsyncGenerator<never> {}

/** Returns the methods with "yes" in a column of the document. */
function documented(column: string): readonly string[] {
  const rows = readFileSync(DOCUMENT, "utf8").match(/^\|.*\|$/gm) ?? [];
  const [head = [], , ...body] = rows.map((row) => row.split("|").map((cell) => cell.trim()));
  const at = head.indexOf(column);
  return body.filter((cells) => cells[at] === "yes").map(([, name = ""]) => name.replaceAll("`", ""));
}

/** Connects, calls every method, and closes. */
async function callAllAs(identity: RotatingIdentity, forwardedFor?: Caller) {
  const { callAll, close } = connect(identity, forwardedFor ? { forwardedFor } : {});
  return callAll().finally(close);
}

const issue = (identity: Identity, validity?: TestValidity) => identityOf(cluster.ca, identity, validity);
const anonymous = () => new RotatingIdentity({ authorities: cluster.ca.certificate, leaf: undefined });

describe("rpc-matrix: each method of each service", () => {
  it("each method of each service is in the document", () => {
    const columns = ["viewer", "deployer", "admin", "node", "server", "anonymous"];
    expect([...new Set(columns.flatMap(documented))].sort()).toEqual([...METHODS].sort());
  });

  it.each<[string, Identity]>([
    ["viewer", VIEWER],
    ["deployer", { kind: "user", name: "deployer" }],
    ["admin", ADMIN],
    ["node", NODE],
    ["server", SERVER],
  ])("answers a %s as the document says", async (column, identity) => {
    const { answered, errors } = await callAllAs(await issue(identity));
    expect(answered).toEqual([...documented(column)].sort());
    expect(errors).toEqual(["BERTH_PERMISSION_DENIED"]);
  });

  it("answers a caller without a certificate as the document says", async () => {
    const { answered, errors } = await callAllAs(anonymous());
    expect(answered).toEqual(["ControlService/Join"]);
    expect(answered).toEqual(documented("anonymous"));
    expect(errors).toEqual(["BERTH_UNAUTHENTICATED"]);
  });

  it.each([
    ["another CA", async () => ofOtherCa()],
    ["no validity yet", () => issue(ADMIN, { fromMs: HOUR_MS / 2 })],
    ["an end more than 30 days ago", () => issue(ADMIN, { fromMs: -900 * HOUR_MS, untilMs: -800 * HOUR_MS })],
    ["a removed member", revoked],
  ])("refuses a certificate of %s", async (_, create) => {
    const { answered, errors } = await callAllAs(await create());
    expect(answered).toEqual([]);
    expect(errors).toEqual(["BERTH_UNAUTHENTICATED"]);
  });

  it("refuses an expired certificate, except for its renewal", async () => {
    const { answered, errors } = await callAllAs(await issue(ADMIN, { untilMs: -1_000 }));
    expect({ answered, errors }).toEqual({ answered: [RENEWAL], errors: ["BERTH_UNAUTHENTICATED"] });
  });

  it("refuses a certificate that expires while its caller is connected, except for its renewal", async () => {
    const startedMs = Date.now();
    const { callAll, close } = connect(await issue(ADMIN, { untilMs: SHORT_VALIDITY_MS }));
    expect((await callAll()).answered).toEqual([...documented("admin")].sort());
    await delay(startedMs + SHORT_VALIDITY_MS + 1_000 - Date.now());
    expect(await callAll()).toEqual({ answered: [RENEWAL], errors: ["BERTH_UNAUTHENTICATED"] });
    close();
  });

  it.each<[string, Identity]>([
    ["viewer", VIEWER],
    ["admin", ADMIN],
    ["node", NODE],
  ])("refuses a %s that pretends to forward calls of an admin", async (_, identity) => {
    const { answered, errors } = await callAllAs(await issue(identity), ADMIN);
    expect({ answered, errors }).toEqual({ answered: [], errors: ["BERTH_PERMISSION_DENIED"] });
  });

  it.each<[string, Caller]>([
    ["viewer", VIEWER],
    ["admin", ADMIN],
    ["node", NODE],
    ["anonymous", { kind: "anonymous" }],
  ])(
    "answers a server that forwards calls of a %s as the document says of that caller",
    async (column, caller) => {
      const { answered } = await callAllAs(await issue(SERVER), caller);
      expect(answered).toEqual([...documented(column)].sort());
    },
  );
});

async function revoked(): Promise<RotatingIdentity> {
  const identity = await issue(ADMIN);
  const { serial } = certificateFacts(parseCertificate(identity.current.leaf?.certificate ?? ""));
  cluster.revocations.revoke(serial);
  return identity;
}

/** Returns a certificate that another CA of this name has issued. It trusts the server, unlike the server the client. */
async function ofOtherCa(): Promise<RotatingIdentity> {
  const leaf = await (await TestAuthority.create("test")).issue(ADMIN);
  const current = { authorities: cluster.ca.certificate, leaf };
  return { current, subscribe: () => () => {} } as unknown as RotatingIdentity;
}
