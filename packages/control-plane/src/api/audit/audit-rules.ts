import {
  type AuditSubject,
  type ControlServiceService,
  type ExecStart,
  type FileKind,
  fileKindName,
  type ImageUploadStart,
  isBerthError,
  AuditRecord_Kind as Kind,
} from "@berth/proto";
import { joinTokenId, parseJoinToken } from "@berth/proto/identity";
import { claimedUser } from "@berth/proto/login-codes";
import type { RequestOf } from "@berth/proto/rpc";
import { nodeName, nodeNameById } from "../../core/model/node-name.js";
import type { ClusterState } from "../../state/cluster-state.js";
import { POLICY_NAME } from "../../state/record-kinds.js";
import { findNetwork, findNode, findServer, findService } from "../lookup.js";
import { findRunningTask } from "../lookup-target.js";

type Control = typeof ControlServiceService;

/** Whether and how the calls of one method are recorded. */
export type AuditRule<Request> =
  /** The method only reads. */
  | { readonly kind: "unrecorded" }
  | {
      readonly kind: "recorded";
      readonly recordKind: Kind.CHANGE | Kind.ACCESS;
      /** Returns false for a request that changes nothing. Default: always true. */
      readonly isRecorded?: (request: Request) => boolean;
      /** Returns the subjects of the call, including names that do not exist. */
      readonly subjects: (request: Request, state: ClusterState) => readonly AuditSubject[];
      /** @default the changes of records, see `summarizeChanges` */
      readonly summary?: (request: Request) => string;
    };

type AuditRules = { readonly [Name in keyof Control]: AuditRule<RequestOf<Control[Name]>> };

/** Maximum length of an image reference in a record. */
const MAX_IMAGE_LENGTH = 512;

/** Maximum length of a browser's address: an IPv6 address with a port. */
const MAX_CLIENT_LENGTH = 64;

const UNRECORDED = { kind: "unrecorded" } as const;

/**
 * The rules of all methods. Calls that change the cluster and streams to containers are recorded. Calls that only read,
 * including logs, are not recorded, because monitoring reads continuously.
 *
 * Subjects and summaries never contain environment variables, arguments, input, labels' values, the contents of secrets
 * and configs, or passwords of registries.
 */
export const AUDIT_RULES: AuditRules = {
  getCluster: UNRECORDED,
  listPeers: UNRECORDED,
  deployStack: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    isRecorded: ({ dryRun }) => !dryRun,
    subjects: ({ stack }) => [stackSubject(stack)],
  },
  createService: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ spec }, state) => [serviceSubject(spec?.name ?? "", state)],
  },
  listServices: UNRECORDED,
  getService: UNRECORDED,
  scaleServices: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ services }, state) => services.map(({ service }) => serviceSubject(service, state)),
  },
  updateService: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ service }, state) => [serviceSubject(service, state)],
  },
  rollbackService: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ service }, state) => [serviceSubject(service, state)],
  },
  removeServices: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ services, stack }, state) => [
      ...(stack === "" ? [] : [stackSubject(stack)]),
      ...services.map((service) => serviceSubject(service, state)),
    ],
  },
  watchServices: UNRECORDED,
  getServiceTraffic: UNRECORDED,
  listTasks: UNRECORDED,
  streamLogs: UNRECORDED,
  exec: {
    kind: "recorded",
    recordKind: Kind.ACCESS,
    subjects: ({ message }, state) => {
      return message?.$case === "start" ? [taskSubject(message.value.target, state)] : [];
    },
    summary: ({ message }) => (message?.$case === "start" ? streamSummary(message.value) : ""),
  },
  streamEvents: UNRECORDED,
  streamAudit: UNRECORDED,
  watchCluster: UNRECORDED,
  watchStats: UNRECORDED,
  listNodes: UNRECORDED,
  getNode: UNRECORDED,
  updateNode: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ node }, state) => [nodeSubject(node, state)],
  },
  removeNode: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ node }, state) => [nodeSubject(node, state)],
  },
  rebalance: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    isRecorded: ({ dryRun }) => !dryRun,
    subjects: () => [],
    summary: ({ maxMoves }) => (maxMoves === 0 ? "any number of moves" : `at most ${maxMoves} moves`),
  },
  listNetworks: UNRECORDED,
  getPolicy: UNRECORDED,
  setPolicy: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    isRecorded: ({ dryRun }) => !dryRun,
    subjects: () => [{ kind: "policy", id: "", name: POLICY_NAME }],
    summary: ({ policy }) => `policy set: rules ${(policy?.rules ?? []).map(({ name }) => name).join(", ")}`,
  },
  getNetwork: UNRECORDED,
  createNetwork: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ spec }, state) => [networkSubject(spec?.name ?? "", state)],
  },
  removeNetworks: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ networks }, state) => networks.map((network) => networkSubject(network, state)),
  },
  listVolumes: UNRECORDED,
  createVolume: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ node }, state) => [nodeSubject(node, state)],
    summary: ({ volume }) => `created volume ${volume?.name ?? ""}`,
  },
  removeVolumes: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ node }, state) => [nodeSubject(node, state)],
    summary: ({ names }) => `removed volumes ${names.join(", ")}`,
  },
  pruneVolumes: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ node }, state) => (node === "" ? [] : [nodeSubject(node, state)]),
    summary: ({ all }) => (all ? "removed all unused volumes" : "removed unused anonymous volumes"),
  },
  listFiles: UNRECORDED,
  getFile: UNRECORDED,
  putFile: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ file }) => (file === undefined ? [] : [fileSubject(file.kind, file.name)]),
  },
  removeFiles: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ kind, names }) => names.map((name) => fileSubject(kind, name)),
  },
  locateImages: UNRECORDED,
  pushImage: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ upload }) =>
      upload?.message?.$case === "start" ? [uploadSubject(upload.message.value)] : [],
    summary: ({ upload }) =>
      upload?.message?.$case === "start" ? `ID ${upload.message.value.imageId.slice(0, 100)}` : "",
  },
  listImages: UNRECORDED,
  removeImages: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ images }) => images.map(imageSubject),
  },
  listRegistryLogins: UNRECORDED,
  putRegistryLogin: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ credentials }) => [registrySubject(credentials?.server ?? "")],
    summary: ({ credentials }) => `login stored for user ${credentials?.username ?? ""}`,
  },
  removeRegistryLogin: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ server, stack }) => [
      registrySubject(server),
      ...(stack === "" ? [] : [stackSubject(stack)]),
    ],
    summary: () => "login removed",
  },
  join: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ hostname }) => [{ kind: "host", id: "", name: hostname }],
    // The token is secret, but its ID is not.
    summary: ({ token }) => `joined with token ${tokenIdIn(token)}`,
  },
  renewCertificate: UNRECORDED,
  acceptNode: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ node }, state) => [nodeSubject(node, state)],
  },
  createJoinToken: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ hostname }) => (hostname === "" ? [] : [{ kind: "host", id: "", name: hostname }]),
  },
  getInstallScript: UNRECORDED,
  listJoinTokens: UNRECORDED,
  removeJoinToken: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ token }) => [{ kind: "token", id: token, name: token }],
  },
  inviteUser: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ name }) => [{ kind: "user", id: "", name }],
  },
  getCaller: UNRECORDED,
  createLogin: {
    kind: "recorded",
    recordKind: Kind.ACCESS,
    subjects: () => [],
    summary: ({ readOnly }) => `created a login code for a browser${readOnly ? ", read-only" : ""}`,
  },
  // The record of a failed login has the user that the code claims to belong to.
  redeemLogin: {
    kind: "recorded",
    recordKind: Kind.ACCESS,
    subjects: ({ code }) => [{ kind: "user", id: "", name: claimedUser(code) }],
    summary: ({ client }) => `logged in with a browser at ${client.slice(0, MAX_CLIENT_LENGTH)}`,
  },
  listUsers: UNRECORDED,
  removeUser: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ name }) => [{ kind: "user", id: "", name }],
  },
  listAuthorities: UNRECORDED,
  rotateAuthority: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: () => [],
    summary: () => "created the next authority",
  },
  rotateEtcdAuthority: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: () => [],
    summary: () => "created the next authority of etcd",
  },
  removeAuthority: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ authority }) => [{ kind: "authority", id: authority, name: authority }],
    summary: ({ force }) => (force ? "by force" : ""),
  },
  finalizeUpgrade: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: () => [],
    summary: () => "raised the schema to the version of this release",
  },
  rotateClusterKey: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: () => [],
    summary: () => "created the next cluster key",
  },
  getClusterKey: UNRECORDED,
  createBackup: {
    kind: "recorded",
    recordKind: Kind.ACCESS,
    subjects: () => [],
    summary: ({ protection }) =>
      protection?.$case === "recipients"
        ? `for the public keys ${protection.value.keys.map((key) => key.slice(0, 80)).join(", ")}`
        : "with a passphrase",
  },
  getRestore: UNRECORDED,
  completeRestore: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: () => [],
    summary: ({ force }) => (force ? "completed the restore by force" : "completed the restore"),
  },
  // Servers repeat these calls while they start.
  addEtcdMember: UNRECORDED,
  promoteEtcdMember: UNRECORDED,
  listServers: UNRECORDED,
  removeServer: {
    kind: "recorded",
    recordKind: Kind.CHANGE,
    subjects: ({ server }, state) => [serverSubject(server, state)],
  },
};

/** Describes a stream to a container, without the arguments of commands, which can contain secrets. */
function streamSummary({ command, attach, readArchive, writeArchive, connectPort }: ExecStart): string {
  if (attach !== undefined) return attach.stdin ? "attached with input" : "attached";
  if (readArchive !== undefined) return `copied from ${readArchive.path}`;
  if (writeArchive !== undefined) return `copied to ${writeArchive.path}`;
  if (connectPort !== undefined) return `connected to port ${connectPort.port}`;
  const user = command?.user ? ` as user ${command.user}` : "";
  return `program ${command?.command[0] ?? ""}${user}`;
}

/** Returns the ID in the text of a token; "?" for a text that is not a token. */
function tokenIdIn(text: string): string {
  try {
    return joinTokenId(parseJoinToken(text).hash);
  } catch {
    return "?";
  }
}

function stackSubject(name: string): AuditSubject {
  return { kind: "stack", id: "", name };
}

function serviceSubject(reference: string, state: ClusterState): AuditSubject {
  const service = findIfAny(() => findService(state, reference));
  return { kind: "service", id: service?.id ?? "", name: service?.spec?.name ?? reference };
}

function nodeSubject(reference: string, state: ClusterState): AuditSubject {
  const node = findIfAny(() => findNode(state, reference));
  return { kind: "node", id: node?.id ?? "", name: node === undefined ? reference : nodeName(node) };
}

function serverSubject(reference: string, state: ClusterState): AuditSubject {
  const server = findIfAny(() => findServer(state, reference));
  return { kind: "server", id: server?.id ?? "", name: server?.hostname ?? reference };
}

function networkSubject(reference: string, state: ClusterState): AuditSubject {
  const network = findIfAny(() => findNetwork(state, reference));
  return { kind: "network", id: network?.id ?? "", name: network?.spec?.name ?? reference };
}

function fileSubject(kind: FileKind, name: string): AuditSubject {
  return { kind: fileKindName(kind), id: "", name };
}

function imageSubject(name: string): AuditSubject {
  return { kind: "image", id: "", name: name.slice(0, MAX_IMAGE_LENGTH) };
}

function uploadSubject({ image, isShipped }: ImageUploadStart): AuditSubject {
  return isShipped ? { ...imageSubject(image), kind: "mount" } : imageSubject(image);
}

function registrySubject(server: string): AuditSubject {
  return { kind: "registry", id: "", name: server };
}

function taskSubject(reference: string, state: ClusterState): AuditSubject {
  const task = findIfAny(() => findRunningTask(state, reference));
  if (task === undefined) return { kind: "task", id: "", name: reference };
  const slot = task.slot === 0 ? nodeNameById(task.nodeId, state.nodes) : task.slot;
  return { kind: "task", id: task.id, name: `${task.serviceName}.${slot}` };
}

/** Returns undefined if a record is not found or the reference is ambiguous. */
function findIfAny<T>(find: () => T): T | undefined {
  try {
    return find();
  } catch (error) {
    if (isBerthError(error)) return undefined;
    throw error;
  }
}
