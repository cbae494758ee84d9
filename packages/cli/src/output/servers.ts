import type { EtcdMemberStatus, ServerStatus } from "@berth/proto";
import { formatDuration, formatTimeUntil } from "./human.js";
import type { Listing } from "./print.js";
import { shortId } from "./services.js";
import { capitalize, serverStateName } from "./state-names.js";

/** Describes the output of `berth server ls`, as a table and as JSON. */
export function serverListing(rows: readonly ServerStatus[], nowMs: number): Listing<ServerStatus> {
  return {
    rows,
    id: ({ server }) => server?.id ?? "",
    json: serverJson,
    columns: [
      { title: "ID", cell: ({ server }) => shortId(server?.id ?? "") },
      { title: "HOSTNAME", cell: ({ server }) => server?.hostname ?? "" },
      { title: "ADDRESS", cell: ({ server }) => server?.address ?? "" },
      { title: "STATUS", cell: (row) => serverStatus(row, nowMs) },
      { title: "ROLE", cell: serverRole },
      { title: "ETCD", cell: ({ etcd }) => memberState(etcd) },
      { title: "VERSION", cell: ({ version }) => version },
      {
        title: "CERTIFICATE EXPIRES",
        cell: ({ certificateExpiresAtMs: ms }) => (ms === 0 ? "" : formatTimeUntil(ms, nowMs)),
      },
    ],
  };
}

export function serverJson(row: ServerStatus): object {
  const { server, version, certificateExpiresAtMs, etcd } = row;
  return {
    id: server?.id ?? "",
    hostname: server?.hostname ?? "",
    address: server?.address ?? "",
    status: stateOf(row),
    statusSinceMs: server?.stateSinceMs ?? 0,
    createdAtMs: server?.createdAtMs ?? 0,
    role: serverRole(row),
    version,
    certificateExpiresAtMs,
    etcd: etcd && { id: etcd.id, name: etcd.name, state: memberState(etcd) },
  };
}

function stateOf({ server }: ServerStatus): string {
  return server === undefined || server.id === "" ? "unknown" : serverStateName(server.state);
}

function serverStatus(row: ServerStatus, nowMs: number): string {
  const { server } = row;
  const status = capitalize(stateOf(row));
  if (server === undefined || server.id === "") return status;
  if (status === "Down" && server.address === "") return "Not started yet";
  return `${status} ${formatDuration(Math.max(0, nowMs - server.stateSinceMs)).toLowerCase()}`;
}

function serverRole({ isLeader, version }: ServerStatus): string {
  if (isLeader) return "leader";
  return version === "" ? "" : "follower";
}

/** Returns the role of an etcd member (voter or learner), and whether the member responds. */
function memberState(member: EtcdMemberStatus | undefined): string {
  if (member === undefined) return "";
  if (!member.hasStarted) return "not started";
  const kind = member.isLearner ? "learner" : "voter";
  return member.isRunning ? kind : `${kind}, unreachable`;
}
