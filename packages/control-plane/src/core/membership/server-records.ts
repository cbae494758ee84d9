import { BerthError, type Node, type Server, Server_State as ServerState } from "@berth/proto";
import type { EtcdServer, EtcdTrust } from "../authorities/etcd-rotation.js";
import type { ServerTrust } from "../authorities/rotation.js";
import type { ServerKeys } from "../cluster-key/rotation.js";
import type { SchemaVersions } from "../schema/migrations.js";

/** Maximum number of records of removed servers. The oldest ones are deleted. */
export const MAX_REMOVED_SERVERS = 1_000;

/** The registration of a running server in etcd. */
export interface ServerRegistration extends ServerTrust, ServerKeys {
  /** Server ID in the server's certificate. Empty for a server of an earlier release. */
  readonly id: string;
  readonly hostname: string;
  readonly version: string;
  /** URL of the server's web UI. Empty for a server without one. */
  readonly webUrl: string;
  /** The versions of the records that the server supports. */
  readonly schema: SchemaVersions;
  readonly certificateExpiresAtMs: number;
  /** Certificates of the server's etcd. Undefined with an external etcd, and for a server of an earlier release. */
  readonly etcd: EtcdTrust | undefined;
}

/** Returns whether a server was removed. Its certificates are revoked from then on. */
export function isRemoved(server: Pick<Server, "state"> | undefined): boolean {
  return server?.state === ServerState.REMOVING || server?.state === ServerState.REMOVED;
}

/** Returns the host of "host:port", without the brackets of IPv6. */
export function hostOfAddress(address: string): string {
  return address.replace(/:[0-9]+$/, "").replace(/^\[(.*)\]$/, "$1");
}

/** Returns the record of a server that has joined and has not run yet. */
export function joinedServer(id: string, hostname: string, nowMs: number): Server {
  return { id, hostname, address: "", createdAtMs: nowMs, state: ServerState.DOWN, stateSinceMs: nowMs };
}

/**
 * Returns the records to write so that they match the registrations: servers without a record, changed addresses, and
 * servers that started or stopped. A removed server stays removed, even while it is registered.
 */
export function planServerRecords(
  records: ReadonlyMap<string, Server>,
  registrations: readonly ServerRegistration[],
  nowMs: number,
): readonly Server[] {
  const registered = new Map(registrations.map((registration) => [registration.id, registration]));
  // A server of an earlier release has registered no ID.
  const newRegistrations = registrations.filter(({ id }) => id !== "" && !records.has(id));
  const existing = [...records.values()].filter((server) => !isRemoved(server));
  return [
    ...existing,
    ...newRegistrations.map(({ id, hostname }) => joinedServer(id, hostname, nowMs)),
  ].flatMap((server) => {
    const next = withRegistration(server, registered.get(server.id), nowMs);
    return next === server ? [] : [next];
  });
}

function withRegistration(
  server: Server,
  registration: ServerRegistration | undefined,
  nowMs: number,
): Server {
  if (registration === undefined) {
    return server.state === ServerState.DOWN
      ? server
      : { ...server, state: ServerState.DOWN, stateSinceMs: nowMs };
  }
  const { address, hostname } = registration;
  const isSame = server.address === address && server.hostname === hostname;
  if (server.state === ServerState.UP) return isSame ? server : { ...server, address, hostname };
  return { ...server, address, hostname, state: ServerState.UP, stateSinceMs: nowMs };
}

/**
 * Returns the nodes whose record must show that a server has started or stopped using their address. Ignores removed
 * servers.
 */
export function planServerHosts(
  nodes: Iterable<Node>,
  servers: ReadonlyMap<string, Server>,
): readonly Node[] {
  const present = [...servers.values()].filter((server) => !isRemoved(server));
  const addresses = new Set(present.map(({ address }) => hostOfAddress(address)));
  return [...nodes].flatMap((node) => {
    const { address = "" } = node.description ?? {};
    const hostsServer = address !== "" && addresses.has(address);
    return hostsServer === node.hostsServer ? [] : [{ ...node, hostsServer }];
  });
}

/**
 * Returns the record that marks a server for removal.
 *
 * @throws BerthError BERTH_SERVER_IN_USE for the last server that is up, or without `force` for one that is up;
 *   BERTH_CONFLICT while another server is being removed
 */
export function markServerForRemoval(
  server: Server,
  records: ReadonlyMap<string, Server>,
  { force, nowMs }: { readonly force: boolean; readonly nowMs: number },
): Server {
  const others = [...records.values()].filter(({ id }) => id !== server.id);
  const removing = others.find(({ state }) => state === ServerState.REMOVING);
  if (removing !== undefined) {
    throw new BerthError({
      code: "BERTH_CONFLICT",
      message: `the removal of server ${serverName(removing)} is in progress; wait until "berth server ls" no longer lists it`,
    });
  }
  if (!others.some(({ state }) => state === ServerState.UP)) {
    throw serverInUseError(server, "no other server is up, and the cluster needs one; add a server first");
  }
  if (server.state === ServerState.UP && !force) {
    throw serverInUseError(server, "it is up; stop it first, or use --force to stop it");
  }
  return { ...server, state: ServerState.REMOVING, stateSinceMs: nowMs };
}

/** Returns the IDs of the removed servers whose records are deleted to stay within the limit. */
export function expiredServers(records: ReadonlyMap<string, Server>): readonly string[] {
  const removed = [...records.values()].filter(({ state }) => state === ServerState.REMOVED);
  return removed
    .sort((a, b) => b.stateSinceMs - a.stateSinceMs)
    .slice(MAX_REMOVED_SERVERS)
    .map(({ id }) => id);
}

/** Returns the servers that take part in a rotation of etcd's authority: all except removed servers. */
export function etcdServers(
  records: Iterable<Server>,
  registrations: readonly ServerRegistration[],
): readonly EtcdServer[] {
  const registered = new Map(registrations.map((registration) => [registration.id, registration]));
  return [...records]
    .filter((server) => !isRemoved(server))
    .map(({ id, address, hostname }) => ({
      id,
      name: address === "" ? hostname : address,
      trust: registered.get(id)?.etcd,
    }));
}

/** Returns the name of a server in messages. */
export function serverName({ hostname, id, address }: Server): string {
  return address === "" ? `${hostname} (${id})` : `${hostname} (${address})`;
}

/** Returns the error for a server that cannot be removed. */
export function serverInUseError(server: Server, reason: string): BerthError {
  return new BerthError({
    code: "BERTH_SERVER_IN_USE",
    message: `cannot remove server ${serverName(server)}: ${reason}`,
    details: { server: server.id },
  });
}
