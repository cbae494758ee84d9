import type { IngressEntry, RegistryLoginChecked, VolumeReply } from "@berth/proto";
import type { LoginCodes } from "@berth/proto/login-codes";
import type { NetworkPool } from "../core/allocator/address-pool.js";
import type { FileSealer } from "../core/files/apply-file.js";
import type { ServerRegistration } from "../core/membership/server-records.js";
import type { LoginSealer } from "../core/registries/registry-logins.js";
import type { EntryTable } from "../dispatcher/entry-table.js";
import type { AgentReplies } from "../dispatcher/relays/agent-replies.js";
import type { ExecRelay } from "../dispatcher/relays/exec-relay.js";
import type { ImageInventories } from "../dispatcher/relays/image-inventories.js";
import type { ImageResolver } from "../dispatcher/relays/image-resolver.js";
import type { ImageUploadRelay } from "../dispatcher/relays/image-upload-relay.js";
import type { LogRelay } from "../dispatcher/relays/log-relay.js";
import type { StatsRelay } from "../dispatcher/relays/stats-relay.js";
import type { TrafficCollector } from "../dispatcher/relays/traffic-collector.js";
import type { RestoreMonitor } from "../dispatcher/restore-monitor.js";
import type { CertificateIssuer } from "../identity/certificate-issuer.js";
import type { ClusterKeyRotation } from "../identity/cluster-key-rotation.js";
import type { HeldClusterKey } from "../identity/held-cluster-key.js";
import type { ClusterSecrets } from "../identity/server-directory.js";
import type { Installer } from "../install/installer.js";
import type { Writer } from "../reconciler/writer.js";
import type { Runtime } from "../runtime/runtime.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { Store } from "../store/store.js";
import type { AuditLog } from "./audit/audit-log.js";
import type { EventLog } from "./events/event-log.js";
import type { UnknownTokens } from "./identities/unknown-tokens.js";
import type { SchemaControl } from "./servers/finalize-upgrade.js";
import type { MembershipChanges } from "./servers/membership-changes.js";
import type { ClusterWatch } from "./watch/cluster-watch.js";
import type { MissedEvents } from "./watch/missed-events.js";
import type { TrafficWatch } from "./watch/traffic-watch.js";

/** The parts of a leader that the handlers of the Control service use during one term. */
export interface ApiContext {
  readonly state: ClusterState;
  readonly writer: Pick<Writer, "submit">;
  readonly runtime: Runtime;
  readonly ingress: EntryTable<IngressEntry>;
  readonly logs: LogRelay;
  readonly stats: StatsRelay;
  readonly trafficCollector: TrafficCollector;
  readonly execs: ExecRelay;
  readonly imageResolver: ImageResolver;
  readonly imageInventories: ImageInventories;
  readonly imageUploads: ImageUploadRelay;
  readonly events: EventLog;
  readonly audit: AuditLog;
  /** The codes with which browsers log in. */
  readonly loginCodes: LoginCodes;
  readonly clusterWatch: ClusterWatch;
  readonly missedEvents: MissedEvents;
  readonly trafficWatch: TrafficWatch;
  /** Issues certificates. Undefined in the simulation. */
  readonly issuer: CertificateIssuer | undefined;
  /** Returns the registrations of all running servers. */
  readonly registrations: () => readonly ServerRegistration[];
  readonly unknownTokens: UnknownTokens;
  /** The packages of this server. Undefined in the simulation. */
  readonly installer: Installer | undefined;
  readonly restoreMonitor: Pick<RestoreMonitor, "progress">;
  /** The store, of which backups read all keys at one revision. */
  readonly store: Pick<Store, "range">;
  /** Changes the members of the embedded etcd. Undefined if no other servers can join it. */
  readonly membership: MembershipChanges | undefined;
  readonly schema: SchemaControl;
  /** Secrets that joining servers receive. Undefined in the simulation. */
  readonly secrets: ClusterSecrets | undefined;
  /** The cluster key of this server. Undefined in the simulation. */
  readonly heldKey: HeldClusterKey | undefined;
  /** Whether the servers run etcd, and issue its certificates. */
  readonly hasEmbeddedEtcd: boolean;
  readonly keyRotation: Pick<ClusterKeyRotation, "progress"> | undefined;
  /** Encrypts secrets and configs. Undefined in the simulation. */
  readonly sealer: FileSealer | undefined;
  /** Encrypts registry logins. Undefined in the simulation. */
  readonly loginSealer: LoginSealer | undefined;
  /** Checks registry logins with the Docker daemon of a node. */
  readonly loginChecks: AgentReplies<RegistryLoginChecked>;
  /** Lists and changes the Docker volumes of nodes. */
  readonly volumes: AgentReplies<VolumeReply>;
  /** Address ranges from which new networks get their subnets. */
  readonly networkPool: NetworkPool;
  readonly epoch: bigint;
  /** This server's address, as agents and the command line reach it. */
  readonly address: string;
  /** Returns the addresses of all servers. */
  readonly servers: () => readonly string[];
  /** Aborts when the term ends. */
  readonly signal: AbortSignal;
}
