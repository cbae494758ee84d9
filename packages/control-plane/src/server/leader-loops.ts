import type { MembershipChanges } from "../api/servers/membership-changes.js";
import { etcdServers } from "../core/membership/server-records.js";
import { collectUnusedImages } from "../dispatcher/collect-images.js";
import type { ImageInventories } from "../dispatcher/relays/image-inventories.js";
import type { AuthorityRotation } from "../identity/authority-rotation.js";
import type { ClusterKeyRotation } from "../identity/cluster-key-rotation.js";
import { EtcdAuthorityRotation } from "../identity/etcd-authority-rotation.js";
import type { ServerIdentity } from "../identity/server-identity.js";
import { storeFirstAuthority } from "../identity/store-first-authority.js";
import type { LagMeter } from "../node-health/lag-meter.js";
import type { Autoscaler } from "../reconciler/autoscale/autoscaler.js";
import type { Controller } from "../reconciler/controller.js";
import { collectUnusedFiles } from "../reconciler/files/collect-files.js";
import { removeUnusedNetworks } from "../reconciler/networks/network-removal.js";
import { autoRebalance } from "../reconciler/rebalance/rebalancer.js";
import { keepEtcdLeaderLocal } from "./keep-etcd-leader-local.js";
import { keepServerRecords } from "./keep-server-records.js";
import type { Loop } from "./run-until-stopped.js";
import type { TermContext, TermOptions } from "./term-context.js";

/** The components of a leader that have a loop. */
export interface LoopComponents {
  readonly controller: Controller;
  readonly autoscaler: Autoscaler;
  readonly lag: LagMeter;
  readonly imageInventories: ImageInventories;
  readonly authorityRotation: AuthorityRotation;
  /** Undefined in the simulation. */
  readonly keyRotation: ClusterKeyRotation | undefined;
  /** Undefined if etcd is external. */
  readonly membership: MembershipChanges | undefined;
}

/** Returns the background loops of a leader, which run during its term. */
export function createLoops(
  context: TermContext,
  options: TermOptions,
  components: LoopComponents,
): readonly Loop[] {
  const { writer, runtime, logger } = context;
  const { sync, identity, moveEtcdLeader, autoRebalanceMs } = options;
  const { controller, autoscaler, lag, imageInventories } = components;
  const loops: Loop[] = [
    (signal) => writer.run(signal),
    (signal) => controller.run(signal),
    (signal) => autoscaler.run(signal),
    (signal) => lag.run(signal),
    () => sync.run(writer),
    (signal) => removeUnusedNetworks(context, signal),
    (signal) => collectUnusedFiles(context, signal),
    (signal) => collectUnusedImages({ ...context, imageInventories }, signal),
  ];
  if (identity !== undefined) loops.push(...identityLoops(identity, context, options, components));
  if (moveEtcdLeader !== undefined) {
    const { clock } = runtime;
    loops.push((signal) => keepEtcdLeaderLocal({ moveEtcdLeader, clock, logger }, signal));
  }
  if (autoRebalanceMs !== undefined) {
    loops.push((signal) => autoRebalance({ ...context, afterMs: autoRebalanceMs }, signal));
  }
  return loops;
}

/** Returns the loops for the servers of the cluster, and for their keys and certificates. */
function identityLoops(
  { serverId, firstAuthority }: ServerIdentity,
  context: TermContext,
  options: TermOptions,
  { authorityRotation, keyRotation, membership }: LoopComponents,
): readonly Loop[] {
  const { state, writer } = context;
  const { registrations, onRegistrationsChange, moveEtcdLeader, ownEtcd } = options;
  const recordOptions = {
    ...context,
    serverId,
    registrations,
    onRegistrationsChange,
    membership,
    moveEtcdLeader,
  };
  const loops: Loop[] = [
    (signal) => authorityRotation.run(signal),
    (signal) => keepServerRecords(recordOptions, signal),
  ];
  if (keyRotation !== undefined) loops.push((signal) => keyRotation.run(signal));
  if (ownEtcd !== undefined) {
    const etcdRotation = new EtcdAuthorityRotation({
      ...context,
      serverId,
      etcdServers: () => etcdServers(state.servers.values(), registrations()),
      areMembersRunning: async (signal) =>
        membership === undefined || (await membership.observe(signal)).every(({ isRunning }) => isRunning),
    });
    loops.push((signal) => etcdRotation.run(signal));
  }
  if (firstAuthority !== undefined) {
    loops.push((signal) => storeFirstAuthority(firstAuthority, writer, signal));
  }
  return loops;
}
