/** The response of another member of the cluster. */
export type MemberResponse =
  /** Its server or its etcd responds. `lastIndex` is the last entry that its etcd has committed, if reported. */
  | { readonly kind: "running"; readonly lastIndex: number | undefined }
  /** Its host refuses connections, because nothing listens there. */
  | { readonly kind: "stopped" }
  /** It does not respond in time. It may be running, and only this host cannot reach it. */
  | { readonly kind: "unreachable"; readonly reason: string };

export interface QueriedMember {
  /** IP address of the member. */
  readonly address: string;
  readonly answer: MemberResponse;
}

export interface RecoveryState {
  /** Address of this server. */
  readonly address: string;
  /** Index of the last entry in the log of this server's etcd. */
  readonly lastIndex: number;
  readonly others: readonly QueriedMember[];
  /** Whether the operator confirms that unreachable members are lost. */
  readonly isForced: boolean;
}

export type RecoveryDecision =
  | { readonly kind: "recover" }
  /** This server must not continue alone. The reason includes the alternative. */
  | { readonly kind: "refuse"; readonly reason: string };

/**
 * Decides whether a server may continue alone. If a quorum of members were still running, two clusters would exist, so
 * this is refused whenever enough members respond, even by force. Unreachable members may still be running, which only
 * the operator can know.
 */
export function decideRecovery({ address, lastIndex, others, isForced }: RecoveryState): RecoveryDecision {
  if (others.length === 0) return refuse("its etcd has no other members; start the server as usual");
  const count = others.length + 1;
  const quorum = Math.floor(count / 2) + 1;
  const running = others.filter(({ answer }) => answer.kind === "running");
  if (running.length >= quorum) {
    return refuse(
      `a quorum of the ${count} servers is running (${addressesOf(running)}); start this server as usual, or remove it with "berth server rm ${address}" on one of them`,
    );
  }
  if (running.length + 1 >= quorum) {
    return refuse(
      `this server and ${addressesOf(running)} are a quorum of the ${count} servers; start this server as usual, and remove the lost ones with "berth server rm"`,
    );
  }
  const newer = running.find(
    ({ answer }) => answer.kind === "running" && (answer.lastIndex ?? 0) > lastIndex,
  );
  if (newer !== undefined) {
    return refuse(`${newer.address} has newer data; run the command there`);
  }
  const unreachable = others.filter(({ answer }) => answer.kind === "unreachable");
  if (unreachable.length > 0 && !isForced) {
    return refuse(
      `${addressesOf(unreachable)} may still be running, but cannot be reached; check these hosts. ` +
        "If they are lost for good, or their servers are stopped, repeat the command with --force",
    );
  }
  return { kind: "recover" };
}

function addressesOf(members: readonly QueriedMember[]): string {
  return members.map(({ address }) => address).join(", ");
}

function refuse(reason: string): RecoveryDecision {
  return { kind: "refuse", reason };
}
