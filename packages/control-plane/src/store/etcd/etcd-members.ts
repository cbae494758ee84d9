import { BerthError, scaleTiming } from "@berth/proto";
import type { IMember } from "etcd3";
import type { EtcdMember } from "../../core/membership/etcd-membership.js";
import { type EtcdClient, isEtcdResponse } from "./client.js";
import type { MemberClients } from "./member.js";

/** Timeout of a health check. A running member responds at once, and the check must not delay a request much. */
const CHECK_TIMEOUT_MS = scaleTiming(1_000);

/** The status that a member reports. Learners report it as well. */
export interface MemberStatus {
  readonly memberId: string;
  readonly isLearner: boolean;
  readonly dataBytes: number;
  /** Index of the last entry that this member knows to be committed. */
  readonly committedIndex: number;
}

/** The result of a change of the membership. */
export type MembershipOutcome =
  | { readonly kind: "done" }
  /** etcd has changed nothing, for example because too few members are connected. */
  | { readonly kind: "refused"; readonly reason: string };

/**
 * The members of an etcd cluster. A change goes through consensus like a write, and etcd checks that a quorum remains.
 */
export class EtcdMembers {
  readonly #client: EtcdClient;

  constructor(client: EtcdClient) {
    this.#client = client;
  }

  /**
   * Lists the members, as the current member knows them.
   *
   * @throws the errors of reads
   */
  async list(signal: AbortSignal): Promise<readonly EtcdMember[]> {
    const { members } = await this.#client.call(
      ({ calls }) => calls.cluster.memberList({ linearizable: true }),
      signal,
    );
    return members.map(decodeMember);
  }

  /** Adds a member that copies the data but has no vote. */
  addLearner(peerUrl: string, signal: AbortSignal): Promise<MembershipOutcome> {
    return this.#change(
      ({ calls }) => calls.cluster.memberAdd({ peerURLs: [peerUrl], isLearner: true }),
      signal,
    );
  }

  /** Gives a learner a vote. etcd refuses it until the learner has copied most of the data. */
  promote(memberId: string, signal: AbortSignal): Promise<MembershipOutcome> {
    return this.#change(({ calls }) => calls.cluster.memberPromote({ ID: memberId }), signal);
  }

  remove(memberId: string, signal: AbortSignal): Promise<MembershipOutcome> {
    return this.#change(({ calls }) => calls.cluster.memberRemove({ ID: memberId }), signal);
  }

  /** Changes the URL at which the other members reach a member. */
  setPeerUrl(memberId: string, peerUrl: string, signal: AbortSignal): Promise<MembershipOutcome> {
    return this.#change(
      ({ calls }) => calls.cluster.memberUpdate({ ID: memberId, peerURLs: [peerUrl] }),
      signal,
    );
  }

  /**
   * Returns the status of the member of the first endpoint.
   *
   * @throws the errors of reads
   */
  async ownStatus(signal: AbortSignal): Promise<MemberStatus> {
    const [own] = this.#client.members;
    if (own === undefined) throw new RangeError("an etcd client needs an endpoint");
    const status = await this.#client.callMember(own, ({ calls }) => calls.maintenance.status(), signal);
    const { header, isLearner, dbSize, raftIndex } = status;
    return {
      memberId: header.member_id,
      isLearner,
      dataBytes: Number(dbSize),
      committedIndex: Number(raftIndex),
    };
  }

  /** Returns whether a member responds at one of its URLs. */
  async isRunning({ id, clientUrls }: EtcdMember, signal: AbortSignal): Promise<boolean> {
    const answers = await Promise.all(
      clientUrls.map((url) => this.#client.memberIdAt(url, CHECK_TIMEOUT_MS).catch(() => undefined)),
    );
    signal.throwIfAborted();
    return answers.includes(id);
  }

  async #change(
    run: (clients: MemberClients) => Promise<unknown>,
    signal: AbortSignal,
  ): Promise<MembershipOutcome> {
    try {
      await this.#client.call(run, signal);
      return { kind: "done" };
    } catch (error) {
      const cause = error instanceof BerthError ? error.cause : undefined;
      if (!isEtcdResponse(cause)) throw error;
      return { kind: "refused", reason: reasonOf(cause) };
    }
  }
}

function decodeMember({ ID, name, peerURLs, clientURLs, isLearner }: IMember): EtcdMember {
  return { id: ID, name, peerUrls: peerURLs, clientUrls: clientURLs, isLearner };
}

/** Returns why etcd has refused a change. Replaces messages that would be misunderstood. */
function reasonOf(error: Error): string {
  const text = error.message.replace(/^.*\betcdserver: /, "");
  return text === "unhealthy cluster"
    ? "its members have not been connected to each other for 5 s yet, or one of them is down"
    : text;
}
