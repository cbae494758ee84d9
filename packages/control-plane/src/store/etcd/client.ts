import { BerthError, isBerthError, scaleTiming } from "@berth/proto";
import {
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
} from "etcd3";
import { abortable } from "../../runtime/abort.js";
import type { EtcdTls } from "../etcd-tls.js";
import { Member, type MemberClients } from "./member.js";

/**
 * Default timeout of a call. Allows for a slow fsync or an etcd election, and detects a hanging etcd before a lease
 * expires.
 */
const DEFAULT_CALL_TIMEOUT_MS = scaleTiming(3_000);

/** Interval at which the first member, usually on this host, is checked while calls go to another member. */
const FIRST_MEMBER_CHECK_MS = 500;

/** Key that does not exist. Reading it is the cheapest check of a member. */
const ABSENT_KEY = Buffer.from("/");

/** Errors with which etcd refuses a request. After any other error, the request may have been executed. */
const REFUSAL_CODES = [
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
  /** URLs of the members. Calls go to the first member, or to the next one while it does not respond. */
  readonly endpoints: readonly [string, ...string[]];
  readonly callTimeoutMs?: number;
  /** TLS settings for endpoints with https. Undefined for an etcd without TLS. */
  readonly tls?: EtcdTls | undefined;
}

/**
 * A client of an etcd cluster, on which `EtcdStore` is built. It uses only the raw calls of etcd3. etcd3's retries,
 * circuit breakers, watch manager and election are not safe: they resend transactions that may have been committed, lose
 * watch events, and can elect two leaders.
 */
export class EtcdClient {
  readonly callTimeoutMs: number;
  #members: readonly Member[];
  #current: Member;
  #tls: EtcdTls | undefined;
  #firstMemberCheck: NodeJS.Timeout | undefined;

  constructor(options: EtcdOptions) {
    this.callTimeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    const { endpoints, tls } = options;
    this.#tls = tls;
    const [first, ...others] = endpoints;
    this.#current = this.#createMember(first);
    this.#members = [this.#current, ...others.map((endpoint) => this.#createMember(endpoint))];
  }

  get memberCount(): number {
    return this.#members.length;
  }

  /** The members in the order of the endpoints. */
  get members(): readonly Member[] {
    return this.#members;
  }

  /**
   * Makes one call to the current member. Without a response, later calls go to the next member. An error that etcd
   * itself returns, such as "no leader", concerns the whole cluster, so calls stay with the member. An aborted call
   * keeps running until its timeout.
   *
   * @throws BerthError BERTH_ETCD_UNAVAILABLE without a response, BERTH_ETCD_FAILED or BERTH_STORE_LIMIT for a refusal;
   *   the signal's reason when aborted
   */
  async call<T>(run: (clients: MemberClients) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const member = this.currentMember();
    try {
      return await abortable(member.use(run), signal);
    } catch (error) {
      signal.throwIfAborted();
      const failure = toBerthError(error, member.endpoint);
      if (isBerthError(failure, "BERTH_ETCD_UNAVAILABLE") && !isEtcdResponse(error)) this.failOver(member);
      throw failure;
    }
  }

  /**
   * Makes one call to a particular member.
   *
   * @throws the same errors as `call`
   */
  async callMember<T>(
    member: Member,
    run: (clients: MemberClients) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    signal.throwIfAborted();
    try {
      return await abortable(member.use(run), signal);
    } catch (error) {
      signal.throwIfAborted();
      throw toBerthError(error, member.endpoint);
    }
  }

  /** Returns the member to which calls go. */
  currentMember(): Member {
    return this.#current;
  }

  /**
   * Returns the ID of the member that responds at a URL, which need not be an endpoint.
   *
   * @throws without a response
   */
  async memberIdAt(endpoint: string, callTimeoutMs: number): Promise<string> {
    const member = new Member({ endpoint, callTimeoutMs, tls: this.#tls });
    try {
      const { header } = await member.use(({ calls }) => calls.maintenance.status());
      return header.member_id;
    } finally {
      member.close();
    }
  }

  /** Makes the next member the current one, unless another call has already done so. */
  failOver(from: Member): void {
    if (from !== this.#current) return;
    this.#current = this.#members[(this.#members.indexOf(from) + 1) % this.#members.length] ?? from;
    this.#firstMemberCheck ??= this.#scheduleFirstMemberCheck();
  }

  #scheduleFirstMemberCheck(): NodeJS.Timeout {
    return setTimeout(() => void this.#returnToFirstMember(), FIRST_MEMBER_CHECK_MS).unref();
  }

  /** Makes the first member the current one if it responds. Otherwise schedules the next check. */
  async #returnToFirstMember(): Promise<void> {
    const [first] = this.#members;
    try {
      if (first !== undefined && this.#current !== first) {
        await first.use(({ calls }) => calls.kv.range({ key: ABSENT_KEY }));
        this.#current = first;
      }
      this.#firstMemberCheck = undefined;
    } catch {
      // The first member is still down.
      if (this.#firstMemberCheck !== undefined) this.#firstMemberCheck = this.#scheduleFirstMemberCheck();
    }
  }

  /** Replaces the endpoints. Calls and streams in progress continue, also with members that are no endpoints any more. */
  updateEndpoints(endpoints: readonly [string, ...string[]]): void {
    const previous = new Map(this.#members.map((member) => [member.endpoint, member]));
    const [first, ...others] = endpoints.map((endpoint) => {
      const member = previous.get(endpoint) ?? this.#createMember(endpoint);
      previous.delete(endpoint);
      return member;
    });
    if (first === undefined) return;
    this.#members = [first, ...others];
    if (!this.#members.includes(this.#current)) this.#current = first;
    for (const member of previous.values()) member.retire();
  }

  #createMember(endpoint: string): Member {
    return new Member({ endpoint, callTimeoutMs: this.callTimeoutMs, tls: this.#tls });
  }

  /**
   * Uses another certificate, or other authorities, for later calls and streams. Those in progress continue with the
   * previous certificate until they end.
   *
   * @throws for a certificate that TLS cannot use; the current one then stays in use
   */
  updateTls(tls: EtcdTls): void {
    for (const member of this.#members) member.updateTls(tls);
    this.#tls = tls;
  }

  /** Closes all connections. Calls and streams in progress fail. */
  close(): void {
    clearTimeout(this.#firstMemberCheck);
    this.#firstMemberCheck = undefined;
    for (const member of this.#members) member.close();
  }
}

/** Returns whether etcd itself reported the error, and not gRPC about the connection. */
export function isEtcdResponse(error: unknown): error is Error {
  return error instanceof Error && /\betcdserver: /.test(error.message);
}

/** Converts an error of etcd3. An unknown error counts as "no response", which is safe for a write. */
export function toBerthError(error: unknown, endpoint: string): BerthError {
  const text = error instanceof Error ? error.message : String(error);
  const details = { endpoint };
  if (error instanceof GRPCResourceExhastedError) {
    const message = `etcd at ${endpoint} is out of space: ${text}; an embedded etcd frees space automatically within seconds; compact and defragment an external one, or raise its quota, and disarm the alarm`;
    return new BerthError({ code: "BERTH_STORE_LIMIT", message, cause: error, details });
  }
  if (REFUSAL_CODES.some((refusal) => error instanceof refusal)) {
    const message = `etcd at ${endpoint} refused a request: ${text}`;
    return new BerthError({ code: "BERTH_ETCD_FAILED", message, cause: error, details });
  }
  const checks = endpoint.startsWith("https:")
    ? "check that it is running and reachable, and that each side trusts the certificate of the other"
    : "check that it is running and reachable, and does not require https";
  const message = `etcd at ${endpoint} does not respond: ${text}; ${checks}`;
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
