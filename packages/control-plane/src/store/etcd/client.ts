import { BerthError, isBerthError } from "@berth/proto";
import { noop } from "cockatiel";
import {
  Etcd3,
  EtcdError,
  EtcdLeaseInvalidError,
  EtcdPermissionDeniedError,
  GRPCAlreadyExistsError,
  GRPCDataLossError,
  GRPCFailedPreconditionError,
  GRPCInvalidArgumentError,
  GRPCNotFoundError,
  GRPCNotImplementedError,
  GRPCOutOfRangeError,
  GRPCResourceExhastedError,
  GRPCUnauthenticatedError,
  type IOptions,
} from "etcd3";
import { onAbort } from "../../runtime/abort.js";

/** Long enough for a slow fsync or an etcd election, short enough that a frozen etcd is noticed before a lease runs out. */
const DEFAULT_CALL_TIMEOUT_MS = 3_000;

/** A page of 1,000 entries or one catch-up batch of a watch; gRPC's own limit is 4 MB. */
const MAX_RECEIVE_BYTES = 256 * 1024 * 1024;

/** How a dead connection below a quiet watch is found. etcd cuts clients that ping more often than every 5 s. */
const PING_INTERVAL_MS = 7_000;
const PING_TIMEOUT_MS = 3_000;

/** How soon calls go to the first member again once it is back: it is on this host, as a rule. */
const HOME_CHECK_MS = 500;

/** gRPC waits up to two minutes between connection attempts; etcd back after a restart should be found at once. */
const RECONNECT_DELAY_MS = 50;
const MAX_RECONNECT_DELAY_MS = 1_000;

/** Reading one that is not there is the least that a member can be asked. */
const NO_KEY = Buffer.from("/");

export interface EtcdOptions {
  /** URLs, all `http:` or all `https:`. Calls go to the first; while it does not answer, to the next that does. */
  readonly endpoints: readonly [string, ...string[]];
  readonly tls?: EtcdTls;
  readonly callTimeoutMs?: number;
}

/** PEM. With a client certificate etcd knows who asks (`--client-cert-auth`). */
export interface EtcdTls {
  readonly ca: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

/**
 * Clients of one etcd member. etcd3 resets all channels of a client when one call fails in transport, so each concern has
 * its own: a timed-out write cuts no watch and no lease.
 */
export interface Member {
  readonly endpoint: string;
  readonly calls: Etcd3;
  readonly watches: Etcd3;
  readonly renewals: Etcd3;
}

/**
 * A connection to an etcd cluster: only etcd3's raw calls, none of its retries, breakers and managers.
 * Those resend transactions that may have been committed, lose watch events and elect two leaders.
 */
export class EtcdClient {
  readonly callTimeoutMs: number;
  readonly #members: readonly Member[];
  #current = 0;
  #homeCheck: NodeJS.Timeout | undefined;

  constructor(options: EtcdOptions) {
    this.callTimeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    this.#members = options.endpoints.map((endpoint) =>
      openMember(endpoint, options.tls, this.callTimeoutMs),
    );
  }

  get memberCount(): number {
    return this.#members.length;
  }

  /** In the order of the endpoints. */
  get members(): readonly Member[] {
    return this.#members;
  }

  /**
   * Makes one call to the current member; the next call goes to the next member if this one gets no answer. A member
   * that says itself that it cannot serve has no leader, and nor have the others: calls stay with it.
   * An aborted call is left behind: it ends by its deadline.
   * @throws BerthError BERTH_ETCD_UNAVAILABLE without an answer, BERTH_ETCD_FAILED or BERTH_STORE_LIMIT with a refusal;
   *         the signal's reason when aborted
   */
  async call<T>(run: (member: Member) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const member = this.current();
    try {
      return await orAborted(run(member), signal);
    } catch (error) {
      signal.throwIfAborted();
      const failure = toBerthError(error, member.endpoint);
      if (isBerthError(failure, "BERTH_ETCD_UNAVAILABLE") && !isOwnWord(error)) this.abandon(member);
      throw failure;
    }
  }

  /** Makes one call to this member, whichever the others go to. Throws what `call` throws. */
  async callAt<T>(member: Member, run: (member: Member) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    try {
      return await orAborted(run(member), signal);
    } catch (error) {
      signal.throwIfAborted();
      throw toBerthError(error, member.endpoint);
    }
  }

  current(): Member {
    const member = this.#members[this.#current];
    if (member === undefined) throw new RangeError("an etcd client needs an endpoint");
    return member;
  }

  /** Turns to the next member, unless that has been done already. */
  abandon(member: Member): void {
    if (member !== this.#members[this.#current]) return;
    this.#current = (this.#current + 1) % this.#members.length;
    this.#homeCheck ??= this.#checkHomeSoon();
  }

  #checkHomeSoon(): NodeJS.Timeout {
    return setTimeout(() => void this.#checkHome(), HOME_CHECK_MS).unref();
  }

  /** Until the first member answers again, which it then does for all calls. */
  async #checkHome(): Promise<void> {
    const [home] = this.#members;
    try {
      if (this.#current !== 0) await home?.calls.kv.range({ key: NO_KEY });
      this.#current = 0;
      this.#homeCheck = undefined;
    } catch {
      if (this.#homeCheck !== undefined) this.#homeCheck = this.#checkHomeSoon();
    }
  }

  /** Ends all connections; calls and streams under way fail. */
  close(): void {
    clearTimeout(this.#homeCheck);
    this.#homeCheck = undefined;
    for (const { calls, watches, renewals } of this.#members)
      for (const etcd of [calls, watches, renewals]) etcd.close();
  }
}

/** etcd marks what it says of itself, and not what gRPC says of a connection. */
function isOwnWord(error: unknown): boolean {
  return error instanceof Error && /\betcdserver: /.test(error.message);
}

function openMember(endpoint: string, tls: EtcdTls | undefined, callTimeoutMs: number): Member {
  const options: IOptions = {
    hosts: endpoint,
    ...(tls && { credentials: credentialsOf(tls) }),
    faultHandling: { host: () => noop, global: noop },
    defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + callTimeoutMs }),
    grpcOptions: {
      "grpc.max_receive_message_length": MAX_RECEIVE_BYTES,
      "grpc.keepalive_time_ms": PING_INTERVAL_MS,
      "grpc.keepalive_timeout_ms": PING_TIMEOUT_MS,
      "grpc.initial_reconnect_backoff_ms": RECONNECT_DELAY_MS,
      "grpc.min_reconnect_backoff_ms": RECONNECT_DELAY_MS,
      "grpc.max_reconnect_backoff_ms": MAX_RECONNECT_DELAY_MS,
    },
  };
  return { endpoint, calls: new Etcd3(options), watches: new Etcd3(options), renewals: new Etcd3(options) };
}

function credentialsOf({ ca, cert, key }: EtcdTls): NonNullable<IOptions["credentials"]> {
  return { rootCertificate: ca, ...(cert && { certChain: cert }), ...(key && { privateKey: key }) };
}

/** Rejects as soon as `signal` aborts, whatever becomes of `work`. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const forget = onAbort(signal, () => reject(signal.reason));
    work.then(resolve, reject).finally(forget);
  });
}

/** etcd answered, and the answer was no. Any other error leaves open whether the request arrived. */
const REFUSALS = [
  EtcdError,
  EtcdLeaseInvalidError,
  EtcdPermissionDeniedError,
  GRPCAlreadyExistsError,
  GRPCDataLossError,
  GRPCFailedPreconditionError,
  GRPCInvalidArgumentError,
  GRPCNotFoundError,
  GRPCNotImplementedError,
  GRPCOutOfRangeError,
  GRPCUnauthenticatedError,
];

/** What etcd3 threw as berth's error. Unknown errors count as "no answer": the safe reading for a write. */
export function toBerthError(error: unknown, endpoint: string): BerthError {
  const text = error instanceof Error ? error.message : String(error);
  const details = { endpoint };
  if (error instanceof GRPCResourceExhastedError) {
    const message = `etcd at ${endpoint} has no room: ${text}. Raise its quota or compact, defragment and disarm its alarm.`;
    return new BerthError({ code: "BERTH_STORE_LIMIT", message, cause: error, details });
  }
  if (REFUSALS.some((refusal) => error instanceof refusal)) {
    const message = `etcd at ${endpoint} refused a request: ${text}.`;
    return new BerthError({ code: "BERTH_ETCD_FAILED", message, cause: error, details });
  }
  const message = `etcd at ${endpoint} does not answer: ${text}. Check that it runs and can be reached.`;
  return new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message, cause: error, details });
}

/** The revision that was asked for is no longer kept. */
export function isCompacted(error: unknown): boolean {
  return causeOf(error) instanceof GRPCOutOfRangeError && /has been compacted/.test(String(causeOf(error)));
}

/** The lease expired or was revoked. */
export function isLeaseGone(error: unknown): boolean {
  return causeOf(error) instanceof EtcdLeaseInvalidError;
}

function causeOf(error: unknown): unknown {
  return error instanceof BerthError ? error.cause : error;
}
