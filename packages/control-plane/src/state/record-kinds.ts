import { auditKind, policyKind, restoreKind } from "./cluster-record-kinds.js";
import {
  authorityKind,
  etcdAuthoritiesKind,
  joinTokenKind,
  serverKind,
  userKind,
} from "./identity-record-kinds.js";
import { networkKind, nodeKind, rangeKind, vipKind } from "./network-record-kinds.js";
import type { RecordKind } from "./record-kind.js";
import { clusterKeyKind, fileKind, loginKind } from "./secret-record-kinds.js";
import { nameKind, revisionKind, serviceKind, taskKind } from "./service-record-kinds.js";

/** All kinds of records of the cluster in etcd, by the name that is part of their changes, as in "put-task". */
export const RECORD_KINDS = {
  service: serviceKind,
  name: nameKind,
  revision: revisionKind,
  task: taskKind,
  node: nodeKind,
  network: networkKind,
  range: rangeKind,
  vip: vipKind,
  file: fileKind,
  login: loginKind,
  audit: auditKind,
  policy: policyKind,
  authority: authorityKind,
  clusterKey: clusterKeyKind,
  etcdAuthorities: etcdAuthoritiesKind,
  joinToken: joinTokenKind,
  user: userKind,
  server: serverKind,
  restore: restoreKind,
} as const;

/** Name of the policy record. */
export const POLICY_NAME = "cluster";

/** Name of the record of etcd's authorities. */
export const ETCD_AUTHORITIES_NAME = "authorities";

/** Name of the cluster key record. */
export const CLUSTER_KEY_NAME = "cluster";

/** Name of the record of the last restore. */
export const RESTORE_NAME = "cluster";

/** Name of a kind of record, such as "task". */
export type RecordKindName = keyof typeof RECORD_KINDS;

export type ContentOf<Name extends RecordKindName> =
  (typeof RECORD_KINDS)[Name] extends RecordKind<infer Content, infer _Id> ? Content : never;

export type IdOf<Name extends RecordKindName> =
  (typeof RECORD_KINDS)[Name] extends RecordKind<infer _Content, infer Id> ? Id : never;
