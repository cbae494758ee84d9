import { BerthError, type Node } from "@berth/proto";
import { networkIdOfDnsEntry } from "../core/allocator/dns-entries.js";
import { isNodeLive, nodeClaims } from "../core/model/node-claims.js";
import type { Writer } from "../reconciler/writer.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { Delta } from "../state/delta.js";
import type { DrainGate } from "./drain-gate.js";
import type { Session } from "./session.js";
import type { SessionRegistry } from "./session-registry.js";
import type { TrafficTables } from "./traffic-tables.js";

export interface NotificationOptions {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly tables: TrafficTables;
  readonly sessions: SessionRegistry;
  readonly drainGate: DrainGate;
}

/**
 * Marks changed records as stale in the sessions that need them, so that the dispatcher sends them to the agents: a
 * node's tasks, networks and registry logins to that node, and published ports and the policy to all nodes.
 *
 * Returns a function that unsubscribes from all changes.
 */
export function notifySessionsOfChanges(options: NotificationOptions): () => void {
  const { state, writer, tables, sessions, drainGate } = options;
  const unsubscribes = [
    state.onChange((delta) => {
      // The gate comes first: it decides whether a session may send a task's stop.
      drainGate.onChange(delta);
      markDeltaStale(delta, options);
    }),
    tables.onChange(({ ingress, dns }) => {
      sessions.forEachSession(sessions.all(), (session) => {
        for (const key of ingress) session.markIngressStale(key);
      });
      for (const key of dns) {
        sessions.forEachSession(sessionsInNetwork(networkIdOfDnsEntry(key), options), (session) =>
          session.markDnsEntryStale(key),
        );
      }
    }),
    tables.onUpdated(() => drainGate.onTablesUpdated()),
    writer.onBacklogCleared(() =>
      sessions.forEachSession(sessions.all(), (session) => session.onBacklogCleared()),
    ),
  ];
  return () => {
    for (const unsubscribe of unsubscribes) unsubscribe();
  };
}

function markDeltaStale(delta: Delta, options: NotificationOptions): void {
  const { state, sessions } = options;
  if (delta.isPolicyChanged) sessions.forEachSession(sessions.all(), (session) => session.markPolicyStale());
  for (const key of delta.registryLogins) {
    sessions.forEachSession(sessions.all(), (session) => session.markRegistryLoginStale(key));
  }
  if (delta.isRestoreChanged) {
    sessions.forEachSession(sessions.all(), (session) => session.onRestoreChanged());
  }
  for (const [taskId, { before, after }] of delta.tasks) {
    const nodeId = after?.nodeId || before?.nodeId;
    if (!nodeId) continue;
    sessions.forEachSession(sessions.forNodes([nodeId]), (session) => session.markTaskStale(taskId));
  }
  for (const [nodeId, { before, after }] of delta.nodes) {
    if (after === undefined) {
      sessions.get(nodeId)?.end(nodeRemovedError(nodeId));
    } else if (hasPeerChanged(before, after) || hasOwnerChanged(before, after, state)) {
      for (const networkId of state.networks.ranges.ofMember(nodeId).keys()) {
        markNetworkStale(networkId, options);
      }
    }
  }
  for (const networkId of delta.networks) {
    sessions.forEachSession(sessions.all(), (session) => session.markNetworkStale(networkId));
  }
  for (const networkId of delta.ranges) markNetworkStale(networkId, options);
}

function markNetworkStale(networkId: string, options: NotificationOptions): void {
  options.sessions.forEachSession(sessionsInNetwork(networkId, options), (session) =>
    session.markNetworkStale(networkId),
  );
}

/** Returns the sessions of the nodes that have a range of the network. */
function sessionsInNetwork(networkId: string, { state, sessions }: NotificationOptions): Iterable<Session> {
  return sessions.forNodes(state.networks.ranges.ofNetwork(networkId).keys());
}

/** Returns whether a change of the node's record affects how its network peers reach it. */
function hasPeerChanged(before: Node | undefined, after: Node): boolean {
  const old = before?.description;
  const { description } = after;
  return (
    old?.address !== description?.address ||
    old?.dataPlane?.overlay !== description?.dataPlane?.overlay ||
    old?.dataPlane?.wireguardPublicKey !== description?.dataPlane?.wireguardPublicKey
  );
}

/** Returns whether the owner of an address that several nodes have may have changed. */
function hasOwnerChanged(before: Node | undefined, after: Node, { nodes }: ClusterState): boolean {
  if (before === undefined || isNodeLive(before) === isNodeLive(after)) return false;
  return nodeClaims(after.description).some((claim) => nodes.holdersOf(claim).size > 1);
}

function nodeRemovedError(nodeId: string): BerthError {
  return new BerthError({
    code: "BERTH_CONFLICT",
    message: `node ${nodeId} was removed from the cluster; its agent may register again`,
    details: { nodeId },
  });
}
