import type {
  Authority,
  ClusterKeyState,
  EtcdAuthorities,
  JoinToken,
  Policy,
  Restore,
  Server,
  User,
} from "@berth/proto";
import type { AuditTable } from "./audit-table.js";
import type { FileTable } from "./file-table.js";
import type { LoginTable } from "./login-table.js";
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
