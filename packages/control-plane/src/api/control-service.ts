import type { ControlServiceService } from "@berth/proto";
import type { RpcHandlers } from "@berth/proto/rpc";
import type { ApiContext } from "./api-context.js";
import { recordCalls } from "./audit/record-calls.js";
import { streamAudit } from "./audit/stream-audit.js";
import { createBackup } from "./backup/create-backup.js";
import { completeRestore, getRestore } from "./backup/restores.js";
import { getCluster } from "./cluster.js";
import { createService } from "./create-service.js";
import { deployStack } from "./deploy-stack.js";
import { streamEvents } from "./events/stream-events.js";
import { exec } from "./exec.js";
import { getFile, listFiles, putFile, removeFiles } from "./files.js";
import { listAuthorities, removeAuthority, rotateAuthority } from "./identities/authorities.js";
import { getClusterKey, rotateClusterKey } from "./identities/cluster-key.js";
import { rotateEtcdAuthority } from "./identities/etcd-authorities.js";
import { join } from "./identities/join.js";
import { createJoinToken, listJoinTokens, removeJoinToken } from "./identities/join-tokens.js";
import { createLogin, redeemLogin } from "./identities/logins.js";
import { redactEnvironments } from "./identities/redact-environment.js";
import { renewCertificate } from "./identities/renew-certificate.js";
import { getCaller, inviteUser, listUsers, removeUser } from "./identities/users.js";
import { listImages } from "./images/list-images.js";
import { locateImages } from "./images/locate-images.js";
import { pushImage } from "./images/push-image.js";
import { removeImages } from "./images/remove-images.js";
import { getInstallScript } from "./install-script.js";
import { streamLogs } from "./logs/stream-logs.js";
import { createNetwork, getNetwork, listNetworks, removeNetworks } from "./networks.js";
import { acceptNode, getNode, listNodes, removeNode, updateNode } from "./nodes.js";
import { listPeers } from "./peers.js";
import { getPolicy, setPolicy } from "./policy.js";
import { rebalance } from "./rebalance.js";
import { listRegistryLogins, putRegistryLogin, removeRegistryLogin } from "./registry-logins.js";
import { addEtcdMember, promoteEtcdMember } from "./servers/etcd-members.js";
import { finalizeUpgrade } from "./servers/finalize-upgrade.js";
import { listServers } from "./servers/list-servers.js";
import { removeServer } from "./servers/remove-server.js";
import { getServiceTraffic } from "./service-traffic.js";
import { getService, listServices, removeServices, scaleServices } from "./services.js";
import { listTasks } from "./tasks.js";
import { rollbackService, updateService } from "./update-service.js";
import { createVolume, listVolumes, pruneVolumes, removeVolumes } from "./volumes.js";
import { watchCluster } from "./watch/watch-cluster.js";
import { watchServices } from "./watch-services.js";
import { watchStats } from "./watch-stats.js";

type Handlers = RpcHandlers<typeof ControlServiceService>;

/** Returns the leader's handlers of the Control service, for one term. */
export function controlHandlers(context: ApiContext): Handlers {
  return redactEnvironments(recordCalls(context, createHandlers), context.state);
}

function createHandlers(context: ApiContext): Handlers {
  return {
    ...stackHandlers(context),
    ...streamHandlers(context),
    ...nodeHandlers(context),
    ...resourceHandlers(context),
    ...identityHandlers(context),
    ...serverHandlers(context),
  };
}

/** Returns the handlers of stacks, services and tasks. */
function stackHandlers(context: ApiContext) {
  return {
    deployStack: (request, { signal }) => deployStack(request, context, signal),
    createService: (request, { signal }) => createService(request, context, signal),
    listServices: async (request) => listServices(request, context),
    getService: async (request) => getService(request, context),
    getServiceTraffic: (request, { signal }) => getServiceTraffic(request, context, signal),
    scaleServices: (request, { signal }) => scaleServices(request, context, signal),
    updateService: (request, { signal }) => updateService(request, context, signal),
    rollbackService: (request, { signal }) => rollbackService(request, context, signal),
    removeServices: (request, { signal }) => removeServices(request, context, signal),
    watchServices: (request, { signal }) => watchServices(request, context, signal),
    listTasks: async (request) => listTasks(request, context),
    rebalance: (request, { signal }) => rebalance(request, context, signal),
  } satisfies Partial<Handlers>;
}

/** Returns the handlers of logs, events, measurements and streams to containers. */
function streamHandlers(context: ApiContext) {
  return {
    streamLogs: (request, caller) => streamLogs(request, context, caller),
    watchCluster: (request, { signal }) => watchCluster(request, context, signal),
    watchStats: (request, { signal }) => watchStats(request, context, signal),
    streamEvents: (request, { signal }) => streamEvents(request, context, signal),
    streamAudit: (request, { signal }) => streamAudit(request, context, signal),
    exec: (requests, caller) => exec(requests, context, caller),
  } satisfies Partial<Handlers>;
}

/** Returns the handlers of nodes, and of their images and volumes. */
function nodeHandlers(context: ApiContext) {
  return {
    listNodes: async () => listNodes(context),
    getNode: async (request) => getNode(request, context),
    acceptNode: (request, { signal }) => acceptNode(request, context, signal),
    updateNode: (request, { signal }) => updateNode(request, context, signal),
    removeNode: (request, { signal }) => removeNode(request, context, signal),
    listPeers: async (_request, { caller }) => listPeers(context, caller),
    locateImages: (request, { signal }) => locateImages(request, context, signal),
    pushImage: (requests, caller) => pushImage(requests, context, caller),
    listImages: (request, { signal }) => listImages(request, context, signal),
    removeImages: (request, { signal }) => removeImages(request, context, signal),
    listVolumes: (request, { signal }) => listVolumes(request, context, signal),
    createVolume: (request, { signal }) => createVolume(request, context, signal),
    removeVolumes: (request, { signal }) => removeVolumes(request, context, signal),
    pruneVolumes: (request, { signal }) => pruneVolumes(request, context, signal),
  } satisfies Partial<Handlers>;
}

/** Returns the handlers of networks, secrets, configs, registry logins and the policy. */
function resourceHandlers(context: ApiContext) {
  return {
    listNetworks: async (request) => listNetworks(request, context),
    getNetwork: async (request) => getNetwork(request, context),
    createNetwork: (request, { signal }) => createNetwork(request, context, signal),
    removeNetworks: (request, { signal }) => removeNetworks(request, context, signal),
    listFiles: async (request) => listFiles(request, context),
    getFile: async (request) => getFile(request, context),
    putFile: (request, { caller, signal }) => putFile(request, context, caller, signal),
    removeFiles: (request, { signal }) => removeFiles(request, context, signal),
    listRegistryLogins: async () => listRegistryLogins(context),
    putRegistryLogin: (request, { signal }) => putRegistryLogin(request, context, signal),
    removeRegistryLogin: (request, { signal }) => removeRegistryLogin(request, context, signal),
    getPolicy: async () => getPolicy(context),
    setPolicy: (request, { signal }) => setPolicy(request, context, signal),
  } satisfies Partial<Handlers>;
}

/** Returns the handlers of users, tokens, certificates and keys. */
function identityHandlers(context: ApiContext) {
  return {
    join: (request, caller) => join(request, context, caller),
    renewCertificate: (request, { caller, signal }) => renewCertificate(request, context, caller, signal),
    createJoinToken: (request, { signal }) => createJoinToken(request, context, signal),
    getInstallScript: () => getInstallScript(context),
    listJoinTokens: async () => listJoinTokens(context),
    removeJoinToken: (request, { signal }) => removeJoinToken(request, context, signal),
    inviteUser: (request, { signal }) => inviteUser(request, context, signal),
    createLogin: async (request, { caller }) => createLogin(request, context, caller),
    redeemLogin: async (request) => redeemLogin(request, context),
    getCaller: async (_request, { caller }) => getCaller(context, caller),
    listUsers: async () => listUsers(context),
    removeUser: (request, { signal }) => removeUser(request, context, signal),
    listAuthorities: async () => listAuthorities(context),
    rotateAuthority: (_request, { signal }) => rotateAuthority(context, signal),
    rotateEtcdAuthority: (_request, { signal }) => rotateEtcdAuthority(context, signal),
    removeAuthority: (request, { signal }) => removeAuthority(request, context, signal),
    rotateClusterKey: (_request, { signal }) => rotateClusterKey(context, signal),
    getClusterKey: async () => getClusterKey(context),
  } satisfies Partial<Handlers>;
}

/** Returns the handlers of servers, backups and upgrades. */
function serverHandlers(context: ApiContext) {
  return {
    getCluster: async () => getCluster(context),
    listServers: (_request, { signal }) => listServers(context, signal),
    removeServer: (request, { signal }) => removeServer(request, context, signal),
    addEtcdMember: (request, { signal }) => addEtcdMember(request, context, signal),
    promoteEtcdMember: (request, { signal }) => promoteEtcdMember(request, context, signal),
    finalizeUpgrade: (_request, { signal }) => finalizeUpgrade(context, signal),
    createBackup: (request, { signal }) => createBackup(request, context, signal),
    getRestore: async () => getRestore(context),
    completeRestore: (request, { signal }) => completeRestore(request, context, signal),
  } satisfies Partial<Handlers>;
}
