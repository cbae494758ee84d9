import { isIP } from "node:net";
import {
  type AddEtcdMemberRequest,
  type AddEtcdMemberResponse,
  BerthError,
  type PromoteEtcdMemberRequest,
  type PromoteEtcdMemberResponse,
} from "@berth/proto";
import type { MembershipRequest } from "../../core/membership/etcd-membership.js";
import type { ApiContext } from "../api-context.js";
import type { MembershipResult } from "./membership-changes.js";

/** Maximum length of a member's URL: the scheme, an IPv6 address in brackets, and a port. */
const MAX_URL_LENGTH = 64;

/**
 * Adds the etcd member of a server that has joined, as a learner. Returns the members with which its etcd starts, or
 * the reason why the server must wait. Until the member has started, a repeated call returns it again.
 *
 * @throws BerthError BERTH_INPUT_INVALID, BERTH_CONFLICT, or BERTH_UNSUPPORTED if the cluster's etcd cannot grow
 */
export async function addEtcdMember(
  { peerUrl }: AddEtcdMemberRequest,
  context: Pick<ApiContext, "membership">,
  signal: AbortSignal,
): Promise<AddEtcdMemberResponse> {
  const result = await applyChange({ kind: "add", peerUrl: parsePeerUrl(peerUrl) }, context, signal);
  if (result.kind === "wait") return { waitingFor: result.reason, members: [] };
  const members = result.members.map(({ name, peerUrls }) => ({ name, peerUrls: [...peerUrls] }));
  return { waitingFor: "", members };
}

/**
 * Promotes the etcd member of a server to a voter, or returns the reason why the server must wait. Succeeds for a
 * voter.
 *
 * @throws BerthError BERTH_INPUT_INVALID, BERTH_CONFLICT, or BERTH_UNSUPPORTED if the cluster's etcd cannot grow
 */
export async function promoteEtcdMember(
  { peerUrl }: PromoteEtcdMemberRequest,
  context: Pick<ApiContext, "membership">,
  signal: AbortSignal,
): Promise<PromoteEtcdMemberResponse> {
  const result = await applyChange({ kind: "promote", peerUrl: parsePeerUrl(peerUrl) }, context, signal);
  return { waitingFor: result.kind === "wait" ? result.reason : "" };
}

/** @throws BerthError BERTH_UNSUPPORTED if the cluster's etcd cannot grow; BERTH_CONFLICT for a refused change */
async function applyChange(
  request: MembershipRequest,
  { membership }: Pick<ApiContext, "membership">,
  signal: AbortSignal,
): Promise<Exclude<MembershipResult, { kind: "refuse" }>> {
  if (membership === undefined) {
    throw new BerthError({
      code: "BERTH_UNSUPPORTED",
      message:
        "no server can join the etcd of this cluster: it is external, or listens on loopback only; start this server " +
        "with the same --etcd, or the other server with a --listen address that this host can reach",
    });
  }
  const result = await membership.apply(request, signal);
  if (result.kind !== "refuse") return result;
  throw new BerthError({
    code: "BERTH_CONFLICT",
    message: `cannot ${request.kind} the etcd member at ${request.peerUrl}: ${result.reason}`,
  });
}

/**
 * Normalizes a peer URL to the form that etcd lists.
 *
 * @throws BerthError BERTH_INPUT_INVALID
 */
function parsePeerUrl(text: string): string {
  const url = text.length <= MAX_URL_LENGTH && URL.canParse(text) ? new URL(text) : undefined;
  const host = url?.hostname.replace(/^\[(.*)\]$/, "$1") ?? "";
  const isValid = url?.protocol === "https:" && url?.port !== "" && isIP(host) !== 0;
  if (url !== undefined && isValid && text === `${url.protocol}//${url.host}`) return text;
  throw new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `invalid peer URL ${JSON.stringify(text.slice(0, MAX_URL_LENGTH))}; use https://IP:PORT`,
  });
}
