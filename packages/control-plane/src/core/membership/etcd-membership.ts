/** Maximum number of etcd members, as etcd recommends: each further member slows down every write. */
export const MAX_ETCD_MEMBERS = 7;

/**
 * Time without a request from its server after which a learner is replaced. Servers repeat their requests every second
 * until the learner is promoted.
 */
export const LEARNER_TIMEOUT_MS = 30_000;

/** Host names in URLs that other servers cannot connect to. */
const LOOPBACK_HOSTS = ["127.0.0.1", "[::1]", "localhost"];

/** A member of the etcd cluster, as etcd lists it. */
export interface EtcdMember {
  readonly id: string;
  /** Name of the member. Empty until the member has started for the first time. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  /** URLs for clients. Empty until the member has started for the first time. */
  readonly clientUrls: readonly string[];
  /** A learner copies the data, but has no vote. */
  readonly isLearner: boolean;
}

/** A member as the leader observes it. */
export interface ObservedMember extends EtcdMember {
  /** Whether the etcd process responds. */
  readonly isRunning: boolean;
  /** Time since the last request from its server. */
  readonly sinceRequestMs: number;
}

/** A request for the member of a server, which is identified by its peer URL. */
export type MembershipRequest =
  /** The server has no etcd data and needs a new member. */
  | { readonly kind: "add"; readonly peerUrl: string }
  /** The server runs a learner that needs a vote. */
  | { readonly kind: "promote"; readonly peerUrl: string }
  /** The server was removed from the cluster, so its member must be removed. */
  | { readonly kind: "remove"; readonly peerUrl: string };

/** A change of the membership. etcd applies it completely or not at all. */
export type MembershipStep =
  | { readonly kind: "add-learner"; readonly peerUrl: string }
  | { readonly kind: "promote"; readonly memberId: string }
  | { readonly kind: "remove"; readonly memberId: string; readonly reason: string };

export type MembershipDecision =
  /** Observe and decide again after the step. */
  | { readonly kind: "step"; readonly step: MembershipStep }
  | { readonly kind: "done" }
  /** The request can be granted later. */
  | { readonly kind: "wait"; readonly reason: string }
  /** The request cannot be granted without a change by the operator. */
  | { readonly kind: "refuse"; readonly reason: string };

/**
 * Decides the next step toward a request.
 *
 * A new member starts as a learner, because a learner that never starts does not affect the quorum. etcd 3.4 accepts
 * one learner at a time. After a crash between two steps, repeating the request continues, because each decision
 * depends only on observations.
 */
export function decideMembership(
  request: MembershipRequest,
  members: readonly ObservedMember[],
): MembershipDecision {
  const ownMember = members.find(({ peerUrls }) => peerUrls.includes(request.peerUrl));
  switch (request.kind) {
    case "add":
      return ownMember === undefined
        ? decideNewMember(request.peerUrl, members)
        : decideReplacement(ownMember, members);
    case "promote":
      return ownMember === undefined
        ? refuse(`no member has the URL ${request.peerUrl}`)
        : decidePromotion(ownMember);
    case "remove":
      return ownMember === undefined ? { kind: "done" } : decideRemoval(ownMember, members);
  }
}

function decideNewMember(peerUrl: string, members: readonly ObservedMember[]): MembershipDecision {
  const otherUrls = members.flatMap(({ peerUrls }) => peerUrls);
  const unreachable = otherUrls.find((url) => LOOPBACK_HOSTS.includes(new URL(url).hostname));
  if (unreachable !== undefined) {
    return refuse(`the etcd of another server listens on ${unreachable} only; give that server an address`);
  }
  if (members.length >= MAX_ETCD_MEMBERS) {
    return refuse(`there are ${members.length} members, and at most ${MAX_ETCD_MEMBERS} are supported`);
  }
  const learner = members.find(({ isLearner }) => isLearner);
  if (learner === undefined) return { kind: "step", step: { kind: "add-learner", peerUrl } };
  if (learner.sinceRequestMs <= LEARNER_TIMEOUT_MS) {
    return wait(`the server at ${describe(learner)} is joining, and servers join one at a time`);
  }
  return remove(learner, "its server has not finished joining");
}

/** Decides about a member whose server has lost its data. */
function decideReplacement(own: ObservedMember, members: readonly ObservedMember[]): MembershipDecision {
  if (own.name === "") return { kind: "done" };
  if (own.isRunning) return refuse(`another etcd of this cluster is running at ${describe(own)}`);
  if (own.isLearner || hasQuorumWithout(own, members)) return remove(own, "its data is lost");
  return wait(
    `a quorum of etcd members other than ${describe(own)} must be running before that member is replaced`,
  );
}

/** Decides about the member of a removed server. The remaining members must have a quorum without it. */
function decideRemoval(own: ObservedMember, members: readonly ObservedMember[]): MembershipDecision {
  if (own.isLearner) return remove(own, "its server was removed");
  const others = members.filter((member) => member !== own && !member.isLearner);
  const running = others.filter(({ isRunning }) => isRunning);
  if (others.length === 0) return refuse("it has the only etcd member with a vote");
  if (running.length > others.length / 2) return remove(own, "its server was removed");
  const down = others.filter(({ isRunning }) => !isRunning).map(describe);
  return refuse(
    `only ${running.length} of the ${others.length} remaining etcd members would be running, which is not a quorum: ` +
      `remove the server of ${down.join(", ")} first, or start it`,
  );
}

/** Returns whether the other running voters are a quorum, both with and without the member. */
function hasQuorumWithout(own: ObservedMember, members: readonly ObservedMember[]): boolean {
  const voters = members.filter(({ isLearner }) => !isLearner);
  const running = voters.filter((member) => member !== own && member.isRunning);
  return running.length > voters.length / 2;
}

function decidePromotion({ id, isLearner }: ObservedMember): MembershipDecision {
  return isLearner ? { kind: "step", step: { kind: "promote", memberId: id } } : { kind: "done" };
}

function remove({ id }: ObservedMember, reason: string): MembershipDecision {
  return { kind: "step", step: { kind: "remove", memberId: id, reason } };
}

function wait(reason: string): MembershipDecision {
  return { kind: "wait", reason };
}

function refuse(reason: string): MembershipDecision {
  return { kind: "refuse", reason };
}

function describe({ peerUrls }: EtcdMember): string {
  return peerUrls.join(", ");
}
