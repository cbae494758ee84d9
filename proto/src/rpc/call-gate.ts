import {
  type Metadata,
  type Server,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from "@grpc/grpc-js";
import { BerthError, isBerthError } from "../errors.js";
import type { ConnectionAddresses } from "./accepted-connections.js";
import {
  type AuthorizationRules,
  authorizeCall,
  type CallRequest,
  type RpcSecurity,
} from "./authorization.js";
import { requireCallVersion } from "./call-version.js";
import { type Caller, callerKey } from "./caller.js";
import { FORWARDED_CALLER_KEY, FORWARDED_CLIENT_KEY } from "./channel-options.js";
import { CallLimiter } from "./open-calls.js";
import { type CountedCall, RequestByteLimiter } from "./request-size.js";
import { trustOf } from "./rpc-identity.js";
import { toStatus } from "./status.js";
import { type ListenOptions, listenTls, type TlsListener } from "./tls-listener.js";

/** Path of the method that accepts an expired certificate. */
const RENEWAL_PATH = "/berth.v1.ControlService/RenewCertificate";

/** A call that was allowed. */
export interface Admission {
  readonly caller: Caller;
  /** "address:port" of the client. */
  readonly client: string;
  readonly isForwarded: boolean;
  /**
   * Aborts when the caller's certificate is no longer accepted. Undefined for the renewal of a certificate, which may
   * outlive the certificate.
   */
  readonly ended: AbortSignal | undefined;
}

/** Authenticates and authorizes each call to a TLS server before its request is decoded. */
export class CallGate {
  readonly #security: RpcSecurity;
  readonly #rules: AuthorizationRules;
  /** Admissions by the metadata object of the call, which grpc-js passes from the interceptor to the handler. */
  readonly #admissions = new WeakMap<Metadata, Admission>();
  readonly #openCalls = new CallLimiter();
  readonly #requestBytes = new RequestByteLimiter();
  #listener: TlsListener | undefined;

  constructor(security: RpcSecurity) {
    const { permissions, rolesOf, identity } = security;
    this.#security = security;
    this.#rules = { permissions, rolesOf, cluster: trustOf(identity.current).cluster };
  }

  /** Starts listening and passes connections to the server. */
  async listen(
    server: Server,
    address: string,
    options: Pick<ListenOptions, "downloads" | "http">,
  ): Promise<TlsListener> {
    this.#listener = await listenTls(server, address, this.#security, options);
    return this.#listener;
  }

  /**
   * Checks that the caller of a connection may call a method.
   *
   * @throws BerthError BERTH_UNAUTHENTICATED, BERTH_PERMISSION_DENIED
   */
  authorize(socket: ConnectionAddresses, path: string): void {
    const connection = this.#listener?.find(socket);
    if (connection === undefined) throw closedConnection();
    authorizeCall({ path, peer: connection.authenticate(), forwarded: undefined }, this.#rules);
  }

  /** Closes a connection of the listener at once. */
  closeConnection(addresses: ConnectionAddresses): void {
    this.#listener?.find(addresses)?.close();
  }

  /** Rejects calls that are not allowed. grpc-js reads a request only after the metadata was passed on. */
  readonly interceptor: ServerInterceptor = ({ path, requestStream: isStream }, call) => {
    let closeCall = (): void => {};
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, pass) => {
            try {
              const admission = this.#admit(path, call, metadata);
              closeCall = this.#openCall(admission, { call, isStream });
              this.#admissions.set(metadata, admission);
            } catch (error) {
              this.#reportRefusal(path, call, error);
              call.sendStatus(toStatus(error));
              return;
            }
            pass(metadata);
          },
          // Called at the end of each call.
          onCancel: () => closeCall(),
        }),
    });
  };

  /**
   * Returns the admission of a call.
   *
   * @throws Error for a call that the interceptor has not seen, which is a bug
   */
  admissionOf(metadata: Metadata): Admission {
    const admission = this.#admissions.get(metadata);
    if (admission === undefined) throw new Error("a call has bypassed the authorization");
    return admission;
  }

  /** Counts a call and its requests for the caller. Returns a function to call when it has ended. */
  #openCall({ caller, client }: Admission, call: Pick<CountedCall, "call" | "isStream">): () => void {
    const release = this.#openCalls.open(caller, client);
    const endCount = this.#requestBytes.count({ ...call, caller: callerKey(caller, client) });
    return () => {
      release();
      endCount();
    };
  }

  #reportRefusal(path: string, call: ServerInterceptingCallInterface, error: unknown): void {
    const caller = this.#listener?.find(call.getConnectionInfo())?.issuedTo;
    if (caller === undefined || !isBerthError(error)) return;
    this.#security.onRefused?.({ path, caller, client: call.getPeer(), errorCode: error.code });
  }

  #admit(path: string, call: ServerInterceptingCallInterface, metadata: Metadata): Admission {
    const connection = this.#listener?.find(call.getConnectionInfo());
    if (connection === undefined) throw closedConnection();
    const forwarded = readForwarding(metadata);
    const isRenewal = path === RENEWAL_PATH;
    const peer = isRenewal ? connection.authenticateForRenewal() : connection.authenticate();
    requireCallVersion(metadata, peer);
    const caller = authorizeCall({ path, peer, forwarded }, this.#rules);
    const client = forwarded?.client ?? call.getPeer();
    // The expiry of a certificate must not end its renewal, which is a short call.
    const ended = isRenewal ? undefined : connection.ended;
    return { caller, client, isForwarded: forwarded !== undefined, ended };
  }
}

function closedConnection(): BerthError {
  return new BerthError({ code: "BERTH_UNAUTHENTICATED", message: "the connection of this call was closed" });
}

/** Returns the original caller and client of a forwarded call, or undefined for any other call. */
function readForwarding(
  metadata: Metadata,
): (CallRequest["forwarded"] & { readonly client: string }) | undefined {
  const [client] = metadata.get(FORWARDED_CLIENT_KEY);
  const [callerUri] = metadata.get(FORWARDED_CALLER_KEY);
  if (client === undefined && callerUri === undefined) return undefined;
  return {
    client: String(client ?? "unknown"),
    callerUri: callerUri === undefined ? undefined : String(callerUri),
  };
}
