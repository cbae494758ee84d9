import {
  AuditRecord,
  Authority,
  ClusterKeyState,
  EtcdAuthorities,
  FileVersion,
  JoinToken,
  Network,
  NetworkRange,
  Node,
  Policy,
  RegistryLogin,
  Restore,
  Server,
  Server_State as ServerState,
  Service,
  ServiceSpec,
  Task,
  User,
  VirtualIp,
  validatePolicy,
} from "@berth/proto";
import { loginKey } from "../core/registries/registry-logins.js";
import type { AuditTable } from "./audit-table.js";
import type { DeltaBuilder, RecordDiff } from "./delta.js";
import type { FileTable } from "./file-table.js";
import type { LoginTable } from "./login-table.js";
import { decodeMessage, encodeMessage } from "./message-codec.js";
import type { NetworkTable } from "./network-table.js";
import type { NodeTable } from "./node-table.js";
import type { ServiceTable } from "./service-table.js";
import type { TaskTable } from "./task-table.js";

/** The tables that hold all records in the leader's memory. `ClusterState` implements them. */
export interface Tables {
  readonly services: ServiceTable;
  /** IDs of services by name. */
  readonly serviceNames: Map<string, string>;
  readonly tasks: TaskTable;
  readonly nodes: NodeTable;
  readonly networks: NetworkTable;
  readonly files: FileTable;
  readonly logins: LoginTable;
  readonly audit: AuditTable;
  /** The policy of the cluster, by its name. Empty if none was set. */
  readonly policies: Map<string, Policy>;
  /** The state of the cluster key, by its name. Empty before its first rotation. */
  readonly clusterKeys: Map<string, ClusterKeyState>;
  /** Certificate authorities by fingerprint. */
  readonly authorities: Map<string, Authority>;
  /** The authorities of etcd, by the name of their record. Empty before their first rotation. */
  readonly etcdAuthorityRecords: Map<string, EtcdAuthorities>;
  /** Join tokens by ID. */
  readonly joinTokens: Map<string, JoinToken>;
  /** Users by name. */
  readonly users: Map<string, User>;
  /** Servers by ID, including removed ones. */
  readonly servers: Map<string, Server>;
  /** The last restore from a backup, by its name. Empty if there was none. */
  readonly restores: Map<string, Restore>;
}

export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Defines one kind of record: its key, its encoding, and its table.
 *
 * `Content` is the payload of a change that writes the record. `Id` identifies the record and determines its key.
 */
export interface RecordKind<Content extends object, Id extends object> {
  /** First segment of the key. */
  readonly collection: string;
  /** The other segments of the key, in order. */
  readonly keyFields: readonly (keyof Id & string)[];
  readonly idOf: (content: Content) => Id;
  /** Returns the value in the store. */
  readonly encode: (content: Content) => unknown;
  /** @throws when the value is not a valid record with this ID */
  readonly decode: (value: JsonObject, id: Id) => Content;
  readonly get: (tables: Tables, id: Id) => Content | undefined;
  readonly put: (tables: Tables, content: Content) => void;
  readonly delete: (tables: Tables, id: Id) => void;
  /** Adds a change to the delta that listeners get. */
  readonly addToDelta: (delta: DeltaBuilder, id: Id, diff: RecordDiff<Content>) => void;
}

/** Returns its argument. Lets the compiler infer the types of the other fields from `Content` and `Id`. */
function defineKind<Content extends object, Id extends object>(
  entry: RecordKind<Content, Id>,
): RecordKind<Content, Id> {
  return entry;
}

/** All kinds of records. A new kind needs an entry here and a table. */
export const RECORD_KINDS = {
  service: defineKind<{ readonly service: Service }, { readonly serviceId: string }>({
    collection: "services",
    keyFields: ["serviceId"],
    idOf: ({ service }) => ({ serviceId: service.id }),
    encode: ({ service }) => encodeMessage(Service, service),
    decode: (value, { serviceId }) => {
      const service = decodeMessage(Service, value);
      requireSameId(service.id, serviceId);
      if (service.spec === undefined) throw new Error("the service has no spec");
      return { service };
    },
    get: ({ services }, { serviceId }) => wrap("service", services.get(serviceId)),
    put: ({ services }, { service }) => services.put(service),
    delete: ({ services }, { serviceId }) => services.delete(serviceId),
    addToDelta: ({ services }, { serviceId }) => services.add(serviceId),
  }),

  /** Assigns a name to a service. The key makes sure that names are unique. */
  name: defineKind<{ readonly name: string; readonly serviceId: string }, { readonly name: string }>({
    collection: "names",
    keyFields: ["name"],
    idOf: ({ name }) => ({ name }),
    encode: ({ serviceId }) => ({ serviceId }),
    decode: ({ serviceId }, { name }) => {
      if (typeof serviceId !== "string") throw new Error("the name has no serviceId");
      return { name, serviceId };
    },
    get: ({ serviceNames }, { name }) => {
      const serviceId = serviceNames.get(name);
      return serviceId === undefined ? undefined : { name, serviceId };
    },
    put: ({ serviceNames }, { name, serviceId }) => serviceNames.set(name, serviceId),
    delete: ({ serviceNames }, { name }) => serviceNames.delete(name),
    addToDelta: () => {},
  }),

  /** The spec of one version of a service. */
  revision: defineKind<
    { readonly serviceId: string; readonly version: number; readonly spec: ServiceSpec },
    { readonly serviceId: string; readonly version: number }
  >({
    collection: "revisions",
    keyFields: ["serviceId", "version"],
    idOf: ({ serviceId, version }) => ({ serviceId, version }),
    encode: ({ spec }) => encodeMessage(ServiceSpec, spec),
    decode: (value, { serviceId, version }) => ({
      serviceId,
      version,
      spec: decodeMessage(ServiceSpec, value),
    }),
    get: ({ services }, { serviceId, version }) => {
      const spec = services.versions.specOf(serviceId, version);
      return spec && { serviceId, version, spec };
    },
    put: ({ services }, { serviceId, version, spec }) => services.versions.put(serviceId, version, spec),
    delete: ({ services }, { serviceId, version }) => services.versions.delete(serviceId, version),
    addToDelta: ({ services }, { serviceId }) => services.add(serviceId),
  }),

  task: defineKind<{ readonly task: Task }, { readonly serviceId: string; readonly taskId: string }>({
    collection: "tasks",
    keyFields: ["serviceId", "taskId"],
    idOf: ({ task }) => ({ serviceId: task.serviceId, taskId: task.id }),
    encode: ({ task }) => encodeMessage(Task, task),
    decode: (value, { serviceId, taskId }) => {
      const task = decodeMessage(Task, value);
      requireSameId(task.id, taskId);
      requireSameId(task.serviceId, serviceId);
      if (task.status === undefined) throw new Error("the task has no status");
      return { task };
    },
    get: ({ tasks }, { taskId }) => wrap("task", tasks.get(taskId)),
    put: ({ tasks, nodes, services }, { task }) => {
      nodes.occupy(task, services.versions.specOf(task.serviceId, task.specVersion));
      tasks.put(task);
    },
    delete: ({ tasks, nodes }, { taskId }) => {
      nodes.release(taskId);
      tasks.delete(taskId);
    },
    addToDelta: (delta, { taskId }, { before, after }) => {
      delta.addTask(taskId, { before: before?.task, after: after?.task });
    },
  }),

  node: defineKind<{ readonly node: Node }, { readonly nodeId: string }>({
    collection: "nodes",
    keyFields: ["nodeId"],
    idOf: ({ node }) => ({ nodeId: node.id }),
    encode: ({ node }) => encodeMessage(Node, node),
    decode: (value, { nodeId }) => {
      const node = decodeMessage(Node, value);
      requireSameId(node.id, nodeId);
      return { node };
    },
    get: ({ nodes }, { nodeId }) => wrap("node", nodes.get(nodeId)),
    put: ({ nodes }, { node }) => nodes.put(node),
    delete: ({ nodes }, { nodeId }) => nodes.delete(nodeId),
    addToDelta: (delta, { nodeId }, { before, after }) => {
      delta.addNode(nodeId, { before: before?.node, after: after?.node });
    },
  }),

  network: defineKind<{ readonly network: Network }, { readonly networkId: string }>({
    collection: "networks",
    keyFields: ["networkId"],
    idOf: ({ network }) => ({ networkId: network.id }),
    encode: ({ network }) => encodeMessage(Network, network),
    decode: (value, { networkId }) => {
      const network = decodeMessage(Network, value);
      requireSameId(network.id, networkId);
      if (network.spec === undefined) throw new Error("the network has no spec");
      return { network };
    },
    get: ({ networks }, { networkId }) => wrap("network", networks.get(networkId)),
    put: ({ networks }, { network }) => networks.put(network),
    delete: ({ networks }, { networkId }) => networks.delete(networkId),
    addToDelta: ({ networks }, { networkId }) => networks.add(networkId),
  }),

  range: defineKind<
    { readonly range: NetworkRange },
    { readonly networkId: string; readonly nodeId: string }
  >({
    collection: "ranges",
    keyFields: ["networkId", "nodeId"],
    idOf: ({ range: { networkId, nodeId } }) => ({ networkId, nodeId }),
    encode: ({ range }) => encodeMessage(NetworkRange, range),
    decode: (value, { networkId, nodeId }) => {
      const range = decodeMessage(NetworkRange, value);
      requireSameId(range.networkId, networkId);
      requireSameId(range.nodeId, nodeId);
      return { range };
    },
    get: ({ networks }, { networkId, nodeId }) => wrap("range", networks.ranges.get(networkId, nodeId)),
    put: ({ networks }, { range }) => networks.ranges.put(range),
    delete: ({ networks }, { networkId, nodeId }) => networks.ranges.delete(networkId, nodeId),
    addToDelta: ({ ranges }, { networkId }) => ranges.add(networkId),
  }),

  vip: defineKind<{ readonly vip: VirtualIp }, { readonly networkId: string; readonly serviceId: string }>({
    collection: "vips",
    keyFields: ["networkId", "serviceId"],
    idOf: ({ vip: { networkId, serviceId } }) => ({ networkId, serviceId }),
    encode: ({ vip }) => encodeMessage(VirtualIp, vip),
    decode: (value, { networkId, serviceId }) => {
      const vip = decodeMessage(VirtualIp, value);
      requireSameId(vip.networkId, networkId);
      requireSameId(vip.serviceId, serviceId);
      return { vip };
    },
    get: ({ networks }, { networkId, serviceId }) => wrap("vip", networks.vips.get(networkId, serviceId)),
    put: ({ networks }, { vip }) => networks.vips.put(vip),
    delete: ({ networks }, { networkId, serviceId }) => networks.vips.delete(networkId, serviceId),
    addToDelta: ({ services }, { serviceId }) => services.add(serviceId),
  }),

  /** A version of a secret or config. */
  file: defineKind<{ readonly file: FileVersion }, { readonly fileId: string }>({
    collection: "files",
    keyFields: ["fileId"],
    idOf: ({ file }) => ({ fileId: file.id }),
    encode: ({ file }) => encodeMessage(FileVersion, file),
    decode: (value, { fileId }) => {
      const file = decodeMessage(FileVersion, value);
      requireSameId(file.id, fileId);
      return { file };
    },
    get: ({ files }, { fileId }) => wrap("file", files.get(fileId)),
    put: ({ files }, { file }) => files.put(file),
    delete: ({ files }, { fileId }) => files.delete(fileId),
    addToDelta: (delta) => delta.markFilesChanged(),
  }),

  /** Credentials for an image registry. */
  login: defineKind<{ readonly login: RegistryLogin }, { readonly loginId: string }>({
    collection: "logins",
    keyFields: ["loginId"],
    idOf: ({ login }) => ({ loginId: login.id }),
    encode: ({ login }) => encodeMessage(RegistryLogin, login),
    decode: (value, { loginId }) => {
      const login = decodeMessage(RegistryLogin, value);
      requireSameId(login.id, loginId);
      return { login };
    },
    get: ({ logins }, { loginId }) => wrap("login", logins.get(loginId)),
    put: ({ logins }, { login }) => logins.put(login),
    delete: ({ logins }, { loginId }) => logins.delete(loginId),
    addToDelta: ({ registryLogins }, _, { before, after }) => {
      for (const change of [before, after]) {
        if (change) registryLogins.add(loginKey(change.login));
      }
    },
  }),

  /** A call that changed the cluster or was refused, see api/audit. */
  audit: defineKind<{ readonly record: AuditRecord }, { readonly sequence: number }>({
    collection: "audit",
    keyFields: ["sequence"],
    idOf: ({ record: { sequence } }) => ({ sequence }),
    encode: ({ record }) => encodeMessage(AuditRecord, record),
    decode: (value, { sequence }) => {
      const record = decodeMessage(AuditRecord, value);
      requireSameId(String(record.sequence), String(sequence));
      return { record };
    },
    get: ({ audit }, { sequence }) => wrap("record", audit.get(sequence)),
    put: ({ audit }, { record }) => audit.put(record),
    delete: ({ audit }, { sequence }) => audit.delete(sequence),
    addToDelta: (delta, { sequence }, { before, after }) => {
      delta.addAudit(sequence, { before: before?.record, after: after?.record });
    },
  }),

  /** The policy: what containers may use of their hosts. There is one record, `POLICY_NAME`. */
  policy: defineKind<{ readonly name: string; readonly policy: Policy }, { readonly name: string }>({
    collection: "policies",
    keyFields: ["name"],
    idOf: ({ name }) => ({ name }),
    encode: ({ policy }) => encodeMessage(Policy, policy),
    decode: (value, { name }) => {
      const policy = decodeMessage(Policy, value);
      const [problem] = validatePolicy(policy);
      if (problem !== undefined) throw new Error(`invalid policy: ${problem.path}: ${problem.message}`);
      return { name, policy };
    },
    get: ({ policies }, { name }) => {
      const policy = policies.get(name);
      return policy && { name, policy };
    },
    put: ({ policies }, { name, policy }) => policies.set(name, policy),
    delete: ({ policies }, { name }) => policies.delete(name),
    addToDelta: (delta) => delta.markPolicyChanged(),
  }),

  authority: defineKind<{ readonly authority: Authority }, { readonly fingerprint: string }>({
    collection: "authorities",
    keyFields: ["fingerprint"],
    idOf: ({ authority: { fingerprint } }) => ({ fingerprint }),
    encode: ({ authority }) => encodeMessage(Authority, authority),
    decode: (value, { fingerprint }) => {
      const authority = decodeMessage(Authority, value);
      requireSameId(authority.fingerprint, fingerprint);
      return { authority };
    },
    get: ({ authorities }, { fingerprint }) => wrap("authority", authorities.get(fingerprint)),
    put: ({ authorities }, { authority }) => authorities.set(authority.fingerprint, authority),
    delete: ({ authorities }, { fingerprint }) => authorities.delete(fingerprint),
    addToDelta: (delta) => delta.markAuthoritiesChanged(),
  }),

  /** Which cluster key is in use. There is at most one record, `CLUSTER_KEY_NAME`. */
  clusterKey: defineKind<
    { readonly name: string; readonly clusterKey: ClusterKeyState },
    { readonly name: string }
  >({
    collection: "keys",
    keyFields: ["name"],
    idOf: ({ name }) => ({ name }),
    encode: ({ clusterKey }) => encodeMessage(ClusterKeyState, clusterKey),
    decode: (value, { name }) => {
      const clusterKey = decodeMessage(ClusterKeyState, value);
      if (clusterKey.currentId === "") throw new Error("the cluster key has no id");
      return { name, clusterKey };
    },
    get: ({ clusterKeys }, { name }) => {
      const clusterKey = clusterKeys.get(name);
      return clusterKey && { name, clusterKey };
    },
    put: ({ clusterKeys }, { name, clusterKey }) => clusterKeys.set(name, clusterKey),
    delete: ({ clusterKeys }, { name }) => clusterKeys.delete(name),
    addToDelta: (delta) => delta.markClusterKeyChanged(),
  }),

  /** The authorities of etcd. There is at most one record, `ETCD_AUTHORITIES_NAME`. */
  etcdAuthorities: defineKind<
    { readonly name: string; readonly etcdAuthorities: EtcdAuthorities },
    { readonly name: string }
  >({
    collection: "etcd",
    keyFields: ["name"],
    idOf: ({ name }) => ({ name }),
    encode: ({ etcdAuthorities }) => encodeMessage(EtcdAuthorities, etcdAuthorities),
    decode: (value, { name }) => {
      const etcdAuthorities = decodeMessage(EtcdAuthorities, value);
      if (etcdAuthorities.authorities.length === 0) throw new Error("etcd has no authority");
      return { name, etcdAuthorities };
    },
    get: (tables, { name }) => {
      const etcdAuthorities = tables.etcdAuthorityRecords.get(name);
      return etcdAuthorities && { name, etcdAuthorities };
    },
    put: (tables, { name, etcdAuthorities }) => tables.etcdAuthorityRecords.set(name, etcdAuthorities),
    delete: (tables, { name }) => tables.etcdAuthorityRecords.delete(name),
    addToDelta: (delta) => delta.markEtcdAuthoritiesChanged(),
  }),

  joinToken: defineKind<{ readonly joinToken: JoinToken }, { readonly tokenId: string }>({
    collection: "tokens",
    keyFields: ["tokenId"],
    idOf: ({ joinToken }) => ({ tokenId: joinToken.id }),
    encode: ({ joinToken }) => encodeMessage(JoinToken, joinToken),
    decode: (value, { tokenId }) => {
      const joinToken = decodeMessage(JoinToken, value);
      requireSameId(joinToken.id, tokenId);
      return { joinToken };
    },
    get: ({ joinTokens }, { tokenId }) => wrap("joinToken", joinTokens.get(tokenId)),
    put: ({ joinTokens }, { joinToken }) => joinTokens.set(joinToken.id, joinToken),
    delete: ({ joinTokens }, { tokenId }) => joinTokens.delete(tokenId),
    addToDelta: () => {},
  }),

  user: defineKind<{ readonly user: User }, { readonly userName: string }>({
    collection: "users",
    keyFields: ["userName"],
    idOf: ({ user }) => ({ userName: user.name }),
    encode: ({ user }) => encodeMessage(User, user),
    decode: (value, { userName }) => {
      const user = decodeMessage(User, value);
      requireSameId(user.name, userName);
      return { user };
    },
    get: ({ users }, { userName }) => wrap("user", users.get(userName)),
    put: ({ users }, { user }) => users.set(user.name, user),
    delete: ({ users }, { userName }) => users.delete(userName),
    addToDelta: (delta, _, { after }) => {
      if (after === undefined) delta.markIdentityRevoked();
    },
  }),

  /** A server. The keys of its registration, which expires when the server dies, are in another collection. */
  server: defineKind<{ readonly server: Server }, { readonly serverId: string }>({
    collection: "serverrecords",
    keyFields: ["serverId"],
    idOf: ({ server }) => ({ serverId: server.id }),
    encode: ({ server }) => encodeMessage(Server, server),
    decode: (value, { serverId }) => {
      const server = decodeMessage(Server, value);
      requireSameId(server.id, serverId);
      return { server };
    },
    get: ({ servers }, { serverId }) => wrap("server", servers.get(serverId)),
    put: ({ servers }, { server }) => servers.set(server.id, server),
    delete: ({ servers }, { serverId }) => servers.delete(serverId),
    addToDelta: (delta, _, { after }) => {
      delta.markServersChanged();
      // The removed server may forward the response to the call that removes it.
      if (after?.server.state === ServerState.REMOVED) delta.markIdentityRevoked();
    },
  }),

  /** The last restore from a backup. There is one record, `RESTORE_NAME`. */
  restore: defineKind<{ readonly name: string; readonly restore: Restore }, { readonly name: string }>({
    collection: "restores",
    keyFields: ["name"],
    idOf: ({ name }) => ({ name }),
    encode: ({ restore }) => encodeMessage(Restore, restore),
    decode: (value, { name }) => ({ name, restore: decodeMessage(Restore, value) }),
    get: ({ restores }, { name }) => {
      const restore = restores.get(name);
      return restore && { name, restore };
    },
    put: ({ restores }, { name, restore }) => restores.set(name, restore),
    delete: ({ restores }, { name }) => restores.delete(name),
    addToDelta: (delta) => delta.markRestoreChanged(),
  }),
} as const;

/** Name of the policy record. */
export const POLICY_NAME = "cluster";
/** Name of the record of etcd's authorities. */
export const ETCD_AUTHORITIES_NAME = "authorities";
/** Name of the cluster key record. */
export const CLUSTER_KEY_NAME = "cluster";

/** Name of the record of the last restore. */
export const RESTORE_NAME = "cluster";

export type RecordName = keyof typeof RECORD_KINDS;

export type ContentOf<Name extends RecordName> =
  (typeof RECORD_KINDS)[Name] extends RecordKind<infer Content, infer _Id> ? Content : never;

export type IdOf<Name extends RecordName> =
  (typeof RECORD_KINDS)[Name] extends RecordKind<infer _Content, infer Id> ? Id : never;

/** Returns the content `{ [name]: record }` of a change. Returns undefined if there is no record. */
function wrap<Name extends string, T>(
  name: Name,
  record: T | undefined,
): { readonly [K in Name]: T } | undefined {
  // TypeScript gives an object with a computed key an index signature.
  return record === undefined ? undefined : ({ [name]: record } as { readonly [K in Name]: T });
}

function requireSameId(inValue: string, inKey: string): void {
  if (inValue === inKey) return;
  throw new Error(`the value has the id ${JSON.stringify(inValue)}, but the key ${JSON.stringify(inKey)}`);
}
