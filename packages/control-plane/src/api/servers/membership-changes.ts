import { assertNever } from "@berth/proto";
import {
  decideMembership,
  type EtcdMember,
  type MembershipRequest,
  type MembershipStep,
  type ObservedMember,
} from "../../core/membership/etcd-membership.js";
import type { Clock } from "../../runtime/clock.js";
import type { EtcdMembers, MembershipOutcome } from "../../store/etcd/etcd-members.js";

/**
 * Maximum number of steps per request. A request needs at most two: the removal of a member and the addition of
 * another.
 */
const MAX_STEPS = 3;

export interface MembershipOptions {
  readonly members: EtcdMembers;
  readonly clock: Clock;
  /** Called after each step that etcd has applied. */
  readonly onStep?: (step: MembershipStep) => void;
}

/** The answer to a request. */
export type MembershipResult =
  | { readonly kind: "done"; readonly members: readonly EtcdMember[] }
  | { readonly kind: "wait"; readonly reason: string }
  | { readonly kind: "refuse"; readonly reason: string };

/** Changes the members of the etcd cluster as servers and administrators request it, during one term. */
export class MembershipChanges {
  readonly #options: MembershipOptions;
  readonly #startedAtMs: number;
  /** The time of the last request for each peer URL of a member. */
  readonly #requestedAtMs = new Map<string, number>();

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#startedAtMs = options.clock.nowMs();
  }

  /**
   * Returns all members, and whether each of them responds.
   *
   * @throws the errors of etcd
   */
  async observe(signal: AbortSignal): Promise<readonly ObservedMember[]> {
    return this.#observe({ checksRunning: true }, signal);
  }

  /**
   * Returns why a member cannot be removed without losing the quorum, or undefined if it can.
   *
   * @throws the errors of etcd
   */
  async removalProblem(peerUrl: string, signal: AbortSignal): Promise<string | undefined> {
    const decision = decideMembership({ kind: "remove", peerUrl }, await this.observe(signal));
    return decision.kind === "refuse" || decision.kind === "wait" ? decision.reason : undefined;
  }

  /**
   * Applies the steps toward a request. The caller repeats a request that has to wait.
   *
   * @throws the errors of etcd
   */
  async apply(request: MembershipRequest, signal: AbortSignal): Promise<MembershipResult> {
    const { members, clock, onStep } = this.#options;
    if (request.kind !== "remove") this.#requestedAtMs.set(request.peerUrl, clock.nowMs());
    for (let steps = 0; steps < MAX_STEPS; steps += 1) {
      const checksRunning = request.kind !== "promote";
      const observed = await this.#observe({ checksRunning, requestedUrl: request.peerUrl }, signal);
      const decision = decideMembership(request, observed);
      if (decision.kind === "done") return { kind: "done", members: observed };
      if (decision.kind !== "step") return decision;
      const outcome = await execute(decision.step, members, signal);
      if (outcome.kind === "refused") return { kind: "wait", reason: `etcd: ${outcome.reason}` };
      onStep?.(decision.step);
    }
    return { kind: "wait", reason: "the members of etcd keep changing" };
  }

  /** @param requestedUrl peer URL of a member that etcd may not list yet */
  async #observe(
    { checksRunning, requestedUrl }: { readonly checksRunning: boolean; readonly requestedUrl?: string },
    signal: AbortSignal,
  ): Promise<readonly ObservedMember[]> {
    const { members, clock } = this.#options;
    const listed = await members.list(signal);
    const urls = new Set(listed.flatMap(({ peerUrls }) => peerUrls));
    for (const url of this.#requestedAtMs.keys()) {
      if (!urls.has(url) && url !== requestedUrl) this.#requestedAtMs.delete(url);
    }
    return Promise.all(
      listed.map(async (member) => ({
        ...member,
        isRunning: checksRunning && (await members.isRunning(member, signal)),
        sinceRequestMs: clock.nowMs() - this.#latestRequestMs(member),
      })),
    );
  }

  /** Returns the time of the last request for a member, or the start of the term if there was none in this term. */
  #latestRequestMs({ peerUrls }: EtcdMember): number {
    return Math.max(this.#startedAtMs, ...peerUrls.map((url) => this.#requestedAtMs.get(url) ?? 0));
  }
}

function execute(
  step: MembershipStep,
  members: EtcdMembers,
  signal: AbortSignal,
): Promise<MembershipOutcome> {
  switch (step.kind) {
    case "add-learner":
      return members.addLearner(step.peerUrl, signal);
    case "promote":
      return members.promote(step.memberId, signal);
    case "remove":
      return members.remove(step.memberId, signal);
    default:
      return assertNever(step);
  }
}
