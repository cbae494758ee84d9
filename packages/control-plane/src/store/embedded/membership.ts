import { setTimeout as delay } from "node:timers/promises";
import { BerthError, type ErrorCode, isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import type { EtcdMember } from "../../core/membership/etcd-membership.js";
import type { EtcdMembers } from "../etcd/etcd-members.js";

/**
 * Timeout of a join. Allows for other servers that join at the same time, and for the copy of a large database over a
 * slow network.
 */
const TIMEOUT_MS = 10 * 60_000;

/** Time for one request, which can take a few etcd calls. */
const REQUEST_TIMEOUT_MS = 15_000;

/** Pause between two attempts. A learner of an empty cluster has copied the data after about half a second. */
const RETRY_MS = 250;

/** Minimum interval between two log lines about the progress. */
const LOG_INTERVAL_MS = 3_000;

/** Errors of requests that can succeed later, for example after an election. */
const TRANSIENT_CODES: readonly ErrorCode[] = [
  "BERTH_SERVER_UNREACHABLE",
  "BERTH_NO_LEADER",
  "BERTH_NOT_LEADER",
  "BERTH_ETCD_UNAVAILABLE",
  "BERTH_DEADLINE",
];

/** A member with which an etcd starts for the first time. */
export type InitialMember = Pick<EtcdMember, "name" | "peerUrls">;

/** Requests of a joining server to the leader. `waitingFor` is empty when the request is granted. */
export interface MembershipRequests {
  /** Adds this server's member, and returns all members. */
  add(
    peerUrl: string,
    signal: AbortSignal,
  ): Promise<{ readonly waitingFor: string; readonly members: readonly InitialMember[] }>;
  /** Gives this server's member a vote. */
  promote(peerUrl: string, signal: AbortSignal): Promise<{ readonly waitingFor: string }>;
}

export interface JoinOptions {
  readonly requests: MembershipRequests;
  /** URL at which the other members reach this one. */
  readonly peerUrl: string;
  readonly logger: Logger;
}

/**
 * Adds this server's member to the cluster. Waits until the cluster accepts it.
 *
 * @throws BerthError BERTH_ETCD_FAILED
 */
export async function joinMembers(
  { requests, peerUrl, logger }: JoinOptions,
  signal: AbortSignal,
): Promise<readonly InitialMember[]> {
  return repeat({ goal: "add this server's etcd to the cluster", logger }, signal, async (limit) => {
    const { waitingFor, members } = await requests.add(peerUrl, limit);
    return waitingFor === "" ? { result: members } : { waitingFor };
  });
}

export interface CompletionOptions {
  /** The members as this server's etcd knows them. */
  readonly members: EtcdMembers;
  readonly peerUrl: string;
  /** Requests to other servers. Undefined for a server that has created the cluster. */
  readonly requests: MembershipRequests | undefined;
  readonly logger: Logger;
}

/**
 * Waits until this server's running member has a vote, because a learner serves no reads. Then checks that the other
 * members reach this one at its address. A single member can change its address.
 *
 * @throws BerthError BERTH_ETCD_FAILED, BERTH_INPUT_INVALID after a change of the address
 */
export async function completeMembership(options: CompletionOptions, signal: AbortSignal): Promise<void> {
  const { members, logger } = options;
  const startedAtMs = performance.now();
  let wasLearner = false;
  await repeat({ goal: "get a vote for this server's etcd", logger }, signal, async (limit) => {
    const { isLearner, dataBytes } = await members.ownStatus(limit);
    if (!isLearner) return { result: undefined };
    wasLearner = true;
    const waitingFor = await promote(options, limit);
    return { waitingFor: `${waitingFor} (${dataBytes} bytes copied)` };
  });
  if (wasLearner) {
    logger.info({ ms: Math.round(performance.now() - startedAtMs) }, "etcd has joined the cluster");
  }
  await repeat({ goal: "check the address of this server's etcd", logger }, signal, async (limit) => {
    const refusal = await updatePeerUrl(options, limit);
    return refusal === undefined ? { result: undefined } : { waitingFor: refusal };
  });
}

async function promote({ requests, peerUrl }: CompletionOptions, signal: AbortSignal): Promise<string> {
  if (requests === undefined) {
    const message =
      `the etcd member at ${peerUrl} has not finished joining, and this server does not know the other servers; ` +
      "remove its data directory, and join the cluster again";
    throw new BerthError({ code: "BERTH_ETCD_FAILED", message });
  }
  const { waitingFor } = await requests.promote(peerUrl, signal);
  return waitingFor || "the vote to arrive";
}

/** Updates this member's URL at the other members. Returns why it cannot be changed now; undefined if it is current. */
async function updatePeerUrl(
  { members, peerUrl, logger }: CompletionOptions,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { memberId } = await members.ownStatus(signal);
  const listed = await members.list(signal);
  const ownMember = listed.find(({ id }) => id === memberId);
  if (ownMember === undefined) return "this member to be listed";
  if (ownMember.peerUrls.includes(peerUrl)) return undefined;
  const previous = ownMember.peerUrls.join(", ");
  if (listed.length > 1) {
    const message =
      `the other servers reach this server's etcd at ${previous}, but its address is ${peerUrl} now; ` +
      "start it with its previous address, or remove its data directory and join the cluster again";
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
  }
  const outcome = await members.setPeerUrl(memberId, peerUrl, signal);
  if (outcome.kind === "refused") return `etcd: ${outcome.reason}`;
  logger.info({ previous, peerUrl }, "changed the address of etcd");
  return undefined;
}

type Attempt<T> = { readonly result: T } | { readonly waitingFor: string };

/**
 * Repeats attempts until one has a result. Logs what it waits for.
 *
 * @throws BerthError BERTH_ETCD_FAILED at the deadline
 */
async function repeat<T>(
  { goal, logger }: { readonly goal: string; readonly logger: Logger },
  signal: AbortSignal,
  attempt: (signal: AbortSignal) => Promise<Attempt<T>>,
): Promise<T> {
  const startedAtMs = performance.now();
  let loggedAtMs = startedAtMs;
  for (;;) {
    signal.throwIfAborted();
    const limit = AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]);
    const outcome = await attempt(limit).catch((error: unknown): Attempt<T> => {
      signal.throwIfAborted();
      if (limit.aborted) return { waitingFor: "a response" };
      if (isBerthError(error) && TRANSIENT_CODES.includes(error.code)) return { waitingFor: error.message };
      throw error;
    });
    if ("result" in outcome) return outcome.result;
    const nowMs = performance.now();
    if (nowMs - startedAtMs > TIMEOUT_MS) throw timeoutError(goal, outcome.waitingFor);
    if (nowMs - loggedAtMs > LOG_INTERVAL_MS) {
      loggedAtMs = nowMs;
      logger.info({ goal, waitingFor: outcome.waitingFor }, "etcd is joining the cluster");
    }
    // The next iteration checks the signal.
    await delay(RETRY_MS, undefined, { signal }).catch(() => {});
  }
}

function timeoutError(goal: string, waitingFor: string): BerthError {
  return new BerthError({
    code: "BERTH_ETCD_FAILED",
    message: `cannot ${goal}: waited ${TIMEOUT_MS / 60_000} min for: ${waitingFor}; start this server again to continue`,
  });
}
