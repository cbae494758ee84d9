import {
  type ListServersResponse,
  type Server,
  type ServerStatus,
  Server_State as State,
} from "@berth/proto";
import type { ObservedMember } from "../../core/membership/etcd-membership.js";
import { memberOf } from "../../core/membership/server-members.js";
import { isRemoved, type ServerRegistration } from "../../core/membership/server-records.js";
import type { ApiContext } from "../api-context.js";

/** Lists the servers with their etcd members, including servers that are being removed. */
export async function listServers(context: ApiContext, signal: AbortSignal): Promise<ListServersResponse> {
  return serverStatuses(context, (await context.membership?.observe(signal)) ?? []);
}

/** Returns the servers, sorted by hostname, with the observed members of etcd. */
export function serverStatuses(
  { state, registrations, address }: Pick<ApiContext, "state" | "registrations" | "address">,
  members: readonly ObservedMember[],
): ListServersResponse {
  const servers = [...state.servers.values()].filter((server) => server.state !== State.REMOVED);
  const registrationById = new Map(registrations().map((registration) => [registration.id, registration]));
  const remaining = servers.filter((server) => !isRemoved(server));
  const statuses = servers.map((server): ServerStatus => {
    const member = memberOf(server, members, remaining);
    return statusOf(server, { registration: registrationById.get(server.id), member, leader: address });
  });
  const reportedMemberIds = new Set(statuses.flatMap(({ etcd }) => (etcd === undefined ? [] : [etcd.id])));
  const orphans = members.filter(({ id }) => !reportedMemberIds.has(id)).map(orphanStatus);
  const voters = members.filter(({ isLearner }) => !isLearner);
  return {
    servers: [...statuses, ...orphans].sort(compareByHostname),
    voters: voters.length,
    runningVoters: voters.filter(({ isRunning }) => isRunning).length,
  };
}

interface StatusSources {
  readonly registration: ServerRegistration | undefined;
  readonly member: ObservedMember | undefined;
  /** Address of the leader. */
  readonly leader: string;
}

function statusOf(server: Server, { registration, member, leader }: StatusSources): ServerStatus {
  return {
    server,
    version: registration?.version ?? "",
    isLeader: registration !== undefined && server.address === leader,
    certificateExpiresAtMs: registration?.certificateExpiresAtMs ?? 0,
    etcd: member && memberStatus(member),
  };
}

/** Returns the status of an etcd member without a server record. */
function orphanStatus(member: ObservedMember): ServerStatus {
  const [url] = member.peerUrls;
  const address = url === undefined ? "" : new URL(url).hostname;
  const server: Server = {
    id: "",
    hostname: member.name,
    address,
    createdAtMs: 0,
    state: State.UNSPECIFIED,
    stateSinceMs: 0,
  };
  return { server, version: "", isLeader: false, certificateExpiresAtMs: 0, etcd: memberStatus(member) };
}

function memberStatus({ id, name, isLearner, isRunning }: ObservedMember): ServerStatus["etcd"] {
  return { id, name, isLearner, isRunning, hasStarted: name !== "" };
}

function compareByHostname(a: ServerStatus, b: ServerStatus): number {
  const [first, second] = [a, b].map(({ server }) => `${server?.hostname ?? ""} ${server?.address ?? ""}`);
  return (first ?? "").localeCompare(second ?? "", "en", { numeric: true });
}
