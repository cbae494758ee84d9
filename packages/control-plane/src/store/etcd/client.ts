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
import { abortable } from "../../runtime/abort.js";

/** Allows for a slow fsync or an etcd election, and detects a hanging etcd before a lease expires. */
const DEFAULT_CALL_TIMEOUT_MS = 3_000;

/** Room for a page of a range read or a batch of watch events; gRPC's default is 4 MB. */
const MAX_RECEIVE_BYTES = 256 * 1024 * 1024;

/** Detects a dead connection below an idle watch. etcd disconnects clients that ping more often than every 5 s. */
const PING_INTERVAL_MS = 7_000;
const PING_TIMEOUT_MS = 3_000;

/** How often the first member, usually on this host, is checked while calls go to another one. */
const FIRST_MEMBER_CHECK_MS = 500;

/** gRPC waits up to two minutes between connection attempts by default; a restarted etcd should be found at once. */
const RECONNECT_DELAY_MS = 50;
const MAX_RECONNECT_DELAY_MS = 1_000;

/** A key that does not exist. Reading it is the cheapest check of a member. */
const ABSENT_KEY = Buffer.from("/");

/** Errors with which etcd refuses a request. After any other error, the request may have been executed. */
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

export interface EtcdOptions {
  /** URLs of the members. Calls go to the first one, and to the next one while it does not answer. */
  readonly endpoints: readonly [string, ...string[]];
  readonly callTimeoutMs?: number;
}

/**
 * The clients of one etcd member. etcd3 resets all channels of a client when one call fails in transport. With a client
 * for each purpose, a write that times out interrupts no watch and no lease renewal.
 */
export interface Member {
  readonly endpoint: string;
  readonly calls: Etcd3;
  readonly watches: Etcd3;
  readonly renewals: Etcd3;
}

/**
 * A client of an etcd cluster, on which `EtcdStore` is built. It uses only the raw calls of etcd3. etcd3's retries,
 * circuit breakers, watch manager and election are not safe: they resend transactions that may have been committed, lose
 * watch events, and can elect two leaders.
 */
export class EtcdClient {
  readonly callTimeoutMs: number;
  readonly #members: readonly Member[];
  #current = 0;
  #firstMemberCheck: NodeJS.Timeout | undefined;

  constructor(options: EtcdOptions) {
    this.callTimeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    this.#members = options.endpoints.map((endpoint) => openMember(endpoint, this.callTimeoutMs));
  }

  get memberCount(): number {
    return this.#members.length;
  }

  /** The members in the order of the endpoints. */
  get members(): readonly Member[] {
    return this.#members;
  }

  /**
   * Makes one call to the current member. If it gets no answer, later calls go to the next member. An error that etcd
   * itself returns, such as "no leader", concerns the whole cluster: calls stay with the member. An aborted call keeps
   * running until its timeout.
   * @throws BerthError BERTH_ETCD_UNAVAILABLE without an answer, BERTH_ETCD_FAILED or BERTH_STORE_LIMIT for a refusal;
   *         the signal's reason when aborted
   */
  async call<T>(run: (member: Member) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const member = this.currentMember();
    try {
      return await abortable(run(member), signal);
    } catch (error) {
      signal.throwIfAborted();
      const failure = toBerthError(error, member.endpoint);
      if (isBerthError(failure, "BERTH_ETCD_UNAVAILABLE") && !isEtcdAnswer(error)) this.failOver(member);
      throw failure;
    }
  }

  /** Makes one call to a particular member. @throws the same errors as `call` */
  async callMember<T>(member: Member, run: (member: Member) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    try {
      return await abortable(run(member), signal);
    } catch (error) {
      signal.throwIfAborted();
      throw toBerthError(error, member.endpoint);
    }
  }

  /** Returns the member to which calls go. */
  currentMember(): Member {
    const member = this.#members[this.#current];
    if (member === undefined) throw new RangeError("an etcd client needs an endpoint");
    return member;
  }

  /** Makes the next member the current one, unless another call has already done so. */
  failOver(from: Member): void {
    if (from !== this.#members[this.#current]) return;
    this.#current = (this.#current + 1) % this.#members.length;
    this.#firstMemberCheck ??= this.#scheduleFirstMemberCheck();
  }

  #scheduleFirstMemberCheck(): NodeJS.Timeout {
    return setTimeout(() => void this.#returnToFirstMember(), FIRST_MEMBER_CHECK_MS).unref();
  }

  /** Makes the first member the current one if it answers. Otherwise schedules the next check. */
  async #returnToFirstMember(): Promise<void> {
    const [first] = this.#members;
    try {
      if (this.#current !== 0) await first?.calls.kv.range({ key: ABSENT_KEY });
      this.#current = 0;
      this.#firstMemberCheck = undefined;
    } catch {
      // The first member is still down.
      if (this.#firstMemberCheck !== undefined) this.#firstMemberCheck = this.#scheduleFirstMemberCheck();
    }
  }

  /** Closes all connections. Calls and streams in progress fail. */
  close(): void {
    clearTimeout(this.#firstMemberCheck);
    this.#firstMemberCheck = undefined;
    for (const { calls, watches, renewals } of this.#members) {
      for (const etcd of [calls, watches, renewals]) etcd.close();
    }
  }
}

/** Returns whether etcd itself reported the error, and not gRPC about the connection. */
function isEtcdAnswer(error: unknown): boolean {
  return error instanceof Error && /\betcdserver: /.test(error.message);
}

function openMember(endpoint: string, callTimeoutMs: number): Member {
  const options: IOptions = {
    hosts: endpoint,
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

/** Converts an error of etcd3. An unknown error counts as "no answer", which is safe for a write. */
export function toBerthError(error: unknown, endpoint: string): BerthError {
  const text = error instanceof Error ? error.message : String(error);
  const details = { endpoint };
  if (error instanceof GRPCResourceExhastedError) {
    const message = `etcd at ${endpoint} is out of space: ${text}: raise its quota, or compact, defragment and disarm the alarm`;
    return new BerthError({ code: "BERTH_STORE_LIMIT", message, cause: error, details });
  }
  if (REFUSALS.some((refusal) => error instanceof refusal)) {
    const message = `etcd at ${endpoint} refused a request: ${text}`;
    return new BerthError({ code: "BERTH_ETCD_FAILED", message, cause: error, details });
  }
  const message = `etcd at ${endpoint} does not answer: ${text}: check that it is running and reachable`;
  return new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message, cause: error, details });
}

/** Returns whether a read failed because its revision was compacted. */
export function isCompacted(error: unknown): boolean {
  const cause = causeOf(error);
  return cause instanceof GRPCOutOfRangeError && /has been compacted/.test(String(cause));
}

/** Returns whether a call failed because the lease has expired or was revoked. */
export function isLeaseGone(error: unknown): boolean {
  return causeOf(error) instanceof EtcdLeaseInvalidError;
}

/** Returns the error of etcd3 that a BerthError wraps. */
function causeOf(error: unknown): unknown {
  return error instanceof BerthError ? error.cause : error;
}
