import { once } from "node:events";
import {
  ControlServiceService,
  type StreamLogsRequest,
  type StreamLogsResponse,
} from "../../../gen/berth/v1/control.js";
import { DispatcherServiceService } from "../../../gen/berth/v1/dispatcher.js";
import { PeerServiceService } from "../../../gen/berth/v1/peer.js";
import { BerthError } from "../../errors.js";
import type { CertificateFacts } from "../../identity/certificate.js";
import type { Identity } from "../../identity/identity.js";
import { TestAuthority, type TestValidity } from "../../identity/testing/test-authority.js";
import type { Revocations, RpcSecurity } from "../authorization.js";
import { requireNode } from "../caller.js";
import { createRpcClient } from "../client.js";
import { PERMISSIONS, type UserRole } from "../permissions.js";
import { RotatingIdentity } from "../rpc-identity.js";
import { type RpcService, rpcService, startRpcServer } from "../server.js";
import type { CallContext, RpcHandlers, RpcMethod } from "../types.js";

export const FOLLOW: StreamLogsRequest = { target: "", follow: true, tail: 0, sinceMs: 0, untilMs: 0 };

/** Revocations that a test changes. */
export class TestRevocations implements Revocations {
  readonly #serials = new Set<string>();
  readonly #listeners = new Set<() => void>();

  revoke(serial: string): void {
    this.#serials.add(serial);
    for (const listener of this.#listeners) listener();
  }

  isRevoked({ serial }: CertificateFacts): boolean {
    return this.#serials.has(serial);
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** A server with TLS, its authority, and the contexts of the calls that reached its handlers. */
export class TlsCluster {
  readonly ca: TestAuthority;
  readonly revocations = new TestRevocations();
  readonly contexts: CallContext[] = [];
  readonly identity: RotatingIdentity;
  readonly #cleanUps: (() => Promise<void> | void)[] = [];
  #address = "";

  private constructor(ca: TestAuthority, identity: RotatingIdentity) {
    this.ca = ca;
    this.identity = identity;
  }

  static async start(services?: readonly RpcService[]): Promise<TlsCluster> {
    const ca = await TestAuthority.create();
    const identity = await identityOf(ca, { kind: "server", id: "s1" });
    const cluster = new TlsCluster(ca, identity);
    cluster.#address = await cluster.serve(services ?? cluster.services(), identity);
    return cluster;
  }

  get address(): string {
    return this.#address;
  }

  get security(): RpcSecurity {
    return {
      identity: this.identity,
      permissions: PERMISSIONS,
      rolesOf: ({ name }) => (isUserRole(name) ? [name] : []),
      revocations: this.revocations,
    };
  }

  /** Starts a further server. Returns its address. */
  async serve(services: readonly RpcService[], identity: RotatingIdentity): Promise<string> {
    const server = await startRpcServer({
      listener: { kind: "tcp", address: "127.0.0.1:0", security: { ...this.security, identity } },
      services,
    });
    this.#cleanUps.push(() => server.close(0));
    return server.address;
  }

  /** Returns a client's functions for each service. */
  connect(identity: RotatingIdentity, { forwarded = false, address = this.#address } = {}) {
    const options = { address, forwarded, identity };
    const control = createRpcClient(ControlServiceService, options);
    const dispatcher = createRpcClient(DispatcherServiceService, options);
    const peer = createRpcClient(PeerServiceService, options);
    this.#cleanUps.push(control.close, dispatcher.close, peer.close);
    return { control: control.calls, dispatcher: dispatcher.calls, peer: peer.calls };
  }

  /** Returns a client with a new certificate. */
  async connectAs(identity: Identity, validity?: TestValidity) {
    return this.connect(await identityOf(this.ca, identity, validity));
  }

  async close(): Promise<void> {
    for (const cleanUp of this.#cleanUps.splice(0).reverse()) await cleanUp();
  }

  /** Services whose methods all answer, streams stay open, and record their context. */
  services(): readonly RpcService[] {
    const record = (context: CallContext): void => void this.contexts.push(context);
    const empty =
      (method: RpcMethod) =>
      async (_: unknown, context: CallContext): Promise<unknown> => {
        record(context);
        return method.responseDeserialize(Buffer.alloc(0));
      };
    const stream = async function* (_: unknown, context: CallContext): AsyncGenerator<StreamLogsResponse> {
      record(context);
      yield { message: { $case: "warning", value: "open" } };
      await once(context.signal, "abort");
    };
    const control = Object.fromEntries(
      Object.entries(ControlServiceService).map(([name, method]) => [
        name,
        method.responseStream ? stream : empty(method),
      ]),
    );
    const dispatcher: RpcHandlers<typeof DispatcherServiceService> = {
      async *session(requests, context) {
        record(context);
        for await (const { message } of requests) {
          if (message?.$case === "hello") requireNode(context.caller, message.value.nodeId);
          yield { message: { $case: "statusesAck", value: { batch: 1 } } };
        }
      },
      pushLogs: async (_, context) => {
        record(context);
        // Never ends by itself, and does not watch its signal.
        return new Promise(() => {});
      },
      findImage: async () => ({ sources: [] }),
      async *receiveImage() {},
      pushStats: async () => ({}),
      async *pushExec() {},
    };
    return [
      rpcService(ControlServiceService, control as unknown as RpcHandlers<typeof ControlServiceService>),
      rpcService(DispatcherServiceService, dispatcher),
      rpcService(PeerServiceService, {
        checkLeader: async (_, context) => {
          record(context);
          return { reachable: true };
        },
        fetchClusterKey: async (_, context) => {
          record(context);
          return { clusterKey: Buffer.alloc(0) };
        },
        recordRefusedCalls: async (_, context) => {
          record(context);
          return {};
        },
      }),
    ];
  }
}

/** Returns the identity of a program with a new certificate. */
export async function identityOf(
  ca: TestAuthority,
  identity: Identity,
  validity?: TestValidity,
): Promise<RotatingIdentity> {
  return new RotatingIdentity({ authorities: ca.certificate, leaf: await ca.issue(identity, validity) });
}

/** Returns the code of a call's error, or "ok". */
export async function outcomeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "ok",
    (error: unknown) => (error instanceof BerthError ? error.code : String(error)),
  );
}

/** A response stream of a client. */
export interface OpenStream {
  /** Settles when the stream ends: "ok", or the code of its error. */
  readonly ended: Promise<string>;
  readonly error: () => unknown;
  close(): Promise<void>;
}

/** Opens a response stream, and waits for its first message. */
export async function openStream(
  open: (options: { readonly signal: AbortSignal }) => AsyncIterable<unknown>,
): Promise<OpenStream> {
  const closing = new AbortController();
  const iterator = open({ signal: closing.signal })[Symbol.asyncIterator]();
  await iterator.next();
  let error: unknown;
  const rest = (async () => {
    while (!(await iterator.next()).done);
  })();
  rest.catch((reason: unknown) => {
    error = reason;
  });
  const ended = outcomeOf(rest);
  const close = async (): Promise<void> => {
    closing.abort(new Error("closed by the test"));
    await ended;
  };
  return { ended, error: () => error, close };
}

function isUserRole(name: string): name is UserRole {
  return name === "admin" || name === "deployer" || name === "viewer";
}
