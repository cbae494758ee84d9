import type { ControlServiceService } from "../../gen/berth/v1/control.js";
import type { DispatcherServiceService } from "../../gen/berth/v1/dispatcher.js";
import type { ImageServiceService } from "../../gen/berth/v1/image.js";
import type { PeerServiceService } from "../../gen/berth/v1/peer.js";

/** The roles of users. A user can have several. */
export type UserRole = "admin" | "deployer" | "viewer";

/** The roles of callers. Nodes, servers and callers without a certificate have the role of their kind only. */
export type Role = UserRole | "node" | "server" | "anonymous";

/** The roles that may call each method, by the method's path. Missing methods cannot be called. */
export type Permissions = Readonly<Record<string, readonly Role[]>>;

type PathOf<Definition> = {
  [Method in keyof Definition]: Definition[Method] extends { readonly path: infer Path } ? Path : never;
}[keyof Definition] &
  string;

type MethodPath =
  | PathOf<typeof ControlServiceService>
  | PathOf<typeof DispatcherServiceService>
  | PathOf<typeof ImageServiceService>
  | PathOf<typeof PeerServiceService>;

/** Roles of users who can read. */
const READ: readonly Role[] = ["viewer", "deployer", "admin"];
/** Roles of users who can change stacks and run commands in their containers. */
const DEPLOY: readonly Role[] = ["deployer", "admin"];
/** Role of users who can change the cluster itself. */
const ADMIN: readonly Role[] = ["admin"];
const NODE: readonly Role[] = ["node"];
const SERVER: readonly Role[] = ["server"];
/** Roles of everyone with a certificate. */
const MEMBERS: readonly Role[] = ["viewer", "deployer", "admin", "node", "server"];

/**
 * Permissions of all methods. The compiler requires an entry for each method. docs/rpc-permissions.md has the same
 * table; `npx vitest run proto/src/rpc/permissions.test.ts -u` writes it. A server forwards calls of users with the
 * user's identity, so it needs no permission for them.
 */
export const PERMISSIONS: Readonly<Record<MethodPath, readonly Role[]>> = {
  "/berth.v1.ControlService/GetCluster": [...READ, "node"],
  "/berth.v1.ControlService/ListServices": READ,
  "/berth.v1.ControlService/GetService": READ,
  "/berth.v1.ControlService/WatchServices": READ,
  "/berth.v1.ControlService/GetServiceTraffic": READ,
  "/berth.v1.ControlService/ListTasks": READ,
  "/berth.v1.ControlService/StreamLogs": READ,
  "/berth.v1.ControlService/StreamEvents": READ,
  "/berth.v1.ControlService/WatchCluster": READ,
  "/berth.v1.ControlService/WatchStats": READ,
  "/berth.v1.ControlService/ListNodes": READ,
  "/berth.v1.ControlService/GetNode": READ,
  "/berth.v1.ControlService/ListPeers": NODE,
  "/berth.v1.ControlService/ListNetworks": READ,
  "/berth.v1.ControlService/GetNetwork": READ,
  "/berth.v1.ControlService/DeployStack": DEPLOY,
  "/berth.v1.ControlService/CreateService": DEPLOY,
  "/berth.v1.ControlService/ScaleServices": DEPLOY,
  "/berth.v1.ControlService/UpdateService": DEPLOY,
  "/berth.v1.ControlService/RollbackService": DEPLOY,
  "/berth.v1.ControlService/RemoveServices": DEPLOY,
  "/berth.v1.ControlService/Exec": DEPLOY,
  "/berth.v1.ControlService/CreateNetwork": DEPLOY,
  "/berth.v1.ControlService/RemoveNetworks": DEPLOY,
  "/berth.v1.ControlService/ListVolumes": READ,
  // Volumes belong to hosts, and their drivers have access to them.
  "/berth.v1.ControlService/CreateVolume": ADMIN,
  "/berth.v1.ControlService/RemoveVolumes": ADMIN,
  "/berth.v1.ControlService/PruneVolumes": ADMIN,
  "/berth.v1.ControlService/ListFiles": READ,
  "/berth.v1.ControlService/GetFile": READ,
  "/berth.v1.ControlService/PutFile": DEPLOY,
  "/berth.v1.ControlService/RemoveFiles": DEPLOY,
  "/berth.v1.ControlService/ListRegistryLogins": ADMIN,
  "/berth.v1.ControlService/PutRegistryLogin": ADMIN,
  "/berth.v1.ControlService/RemoveRegistryLogin": ADMIN,
  "/berth.v1.ControlService/LocateImages": DEPLOY,
  "/berth.v1.ControlService/PushImage": DEPLOY,
  "/berth.v1.ControlService/ListImages": READ,
  "/berth.v1.ControlService/RemoveImages": DEPLOY,
  "/berth.v1.ControlService/UpdateNode": ADMIN,
  "/berth.v1.ControlService/RemoveNode": ADMIN,
  "/berth.v1.ControlService/Rebalance": ADMIN,
  "/berth.v1.ControlService/StreamAudit": ADMIN,
  "/berth.v1.ControlService/GetPolicy": READ,
  "/berth.v1.ControlService/SetPolicy": ADMIN,
  "/berth.v1.ControlService/Join": ["anonymous"],
  "/berth.v1.ControlService/RenewCertificate": MEMBERS,
  "/berth.v1.ControlService/AcceptNode": ADMIN,
  "/berth.v1.ControlService/CreateJoinToken": ADMIN,
  "/berth.v1.ControlService/GetInstallScript": ADMIN,
  "/berth.v1.ControlService/ListJoinTokens": ADMIN,
  "/berth.v1.ControlService/RemoveJoinToken": ADMIN,
  "/berth.v1.ControlService/InviteUser": ADMIN,
  "/berth.v1.ControlService/GetCaller": READ,
  "/berth.v1.ControlService/CreateLogin": READ,
  "/berth.v1.ControlService/RedeemLogin": SERVER,
  "/berth.v1.ControlService/ListUsers": ADMIN,
  "/berth.v1.ControlService/RemoveUser": ADMIN,
  "/berth.v1.ControlService/ListAuthorities": READ,
  "/berth.v1.ControlService/FinalizeUpgrade": ADMIN,
  "/berth.v1.ControlService/RotateAuthority": ADMIN,
  "/berth.v1.ControlService/RotateEtcdAuthority": ADMIN,
  "/berth.v1.ControlService/RemoveAuthority": ADMIN,
  "/berth.v1.ControlService/RotateClusterKey": ADMIN,
  "/berth.v1.ControlService/GetClusterKey": ADMIN,
  "/berth.v1.ControlService/AddEtcdMember": SERVER,
  "/berth.v1.ControlService/PromoteEtcdMember": SERVER,
  "/berth.v1.ControlService/ListServers": READ,
  "/berth.v1.ControlService/RemoveServer": ADMIN,
  "/berth.v1.ControlService/CreateBackup": ADMIN,
  "/berth.v1.ControlService/GetRestore": READ,
  "/berth.v1.ControlService/CompleteRestore": ADMIN,
  "/berth.v1.DispatcherService/Session": NODE,
  "/berth.v1.DispatcherService/PushLogs": NODE,
  "/berth.v1.DispatcherService/PushExec": NODE,
  "/berth.v1.DispatcherService/PushStats": NODE,
  "/berth.v1.DispatcherService/FindImage": NODE,
  "/berth.v1.DispatcherService/ReceiveImage": NODE,
  "/berth.v1.ImageService/DescribeImage": NODE,
  "/berth.v1.ImageService/ReadLayer": NODE,
  "/berth.v1.ImageService/WatchUpload": NODE,
  "/berth.v1.PeerService/CheckLeader": SERVER,
  "/berth.v1.PeerService/FetchClusterKey": SERVER,
  "/berth.v1.PeerService/RecordRefusedCalls": SERVER,
};
