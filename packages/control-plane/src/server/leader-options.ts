import type { Probe } from "@berth/proto/probe";
import type { Logger } from "pino";
import type { NetworkPool } from "../core/allocator/address-pool.js";
import type { ServerRegistration } from "../core/membership/server-records.js";
import type { Schema } from "../core/schema/migrations.js";
import type { ServerIdentity } from "../identity/server-identity.js";
import type { Installer } from "../install/installer.js";
import type { NodeHealthObserver } from "../node-health/node-health-monitor.js";
import type { ControllerObserver } from "../reconciler/controller.js";
import type { WriterObserver } from "../reconciler/writer.js";
import type { Runtime } from "../runtime/runtime.js";
import type { EtcdMembers } from "../store/etcd/etcd-members.js";
import type { Store } from "../store/store.js";
import type { LeaderComponents } from "./leadership-state.js";
import type { OwnEtcd } from "./own-etcd.js";

/** Receives the measurements of a leader. The server's metrics implement it. */
export type LeaderObserver = WriterObserver & ControllerObserver & NodeHealthObserver;

/** The parts of a server's configuration that matter only while it is the leader. */
export interface LeaderSettings {
  /**
   * Time for which a returned node must be up before tasks move to it. Undefined if only `berth rebalance` moves tasks.
   */
  readonly autoRebalanceMs?: number | undefined;
  /**
   * Makes the etcd member on this host etcd's leader; resolves to whether another member was the leader
   * before. Undefined unless the embedded etcd can have several members.
   */
  readonly moveEtcdLeader?: ((signal: AbortSignal) => Promise<boolean>) | undefined;
  /** The members of the embedded etcd, which grows with the servers. Undefined unless other servers can join it. */
  readonly etcdMembers?: EtcdMembers | undefined;
  /** The embedded etcd of this server. Undefined if etcd is external. */
  readonly ownEtcd?: OwnEtcd | undefined;
  /** Address ranges from which new networks get their subnets. */
  readonly networkPool?: NetworkPool | undefined;
  /** Identity of the server. Undefined in the simulation, whose network has no certificates. */
  readonly identity?: ServerIdentity | undefined;
  /** The packages of this server. Undefined in the simulation. */
  readonly installer?: Installer | undefined;
  /** Networks with more hosts than this use static forwarding entries instead of flooding. */
  readonly floodLimit?: number | undefined;
  /** The records that this release supports. Default: SCHEMA. */
  readonly schema?: Schema | undefined;
}

export interface LeaderOptions extends LeaderSettings {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly probe: Probe;
  readonly logger: Logger;
  readonly observer: LeaderObserver;
  /** Advertised address of this server. */
  readonly address: string;
  /** Returns the addresses of all running servers. */
  readonly servers: () => readonly string[];
  /** Returns the registrations of all running servers. */
  readonly registrations: () => readonly ServerRegistration[];
  /** Calls the listener when a registration has changed. The returned function removes the listener. */
  readonly onRegistrationsChange: (listener: () => void) => () => void;
  /** Called with the leader once the records are loaded, and with undefined if the term ends. */
  readonly onLeaderChange: (leader: LeaderComponents | undefined) => void;
}
