import {
  type AuthorityStatus,
  type AuthorityView,
  BERTH_VERSION,
  type ClusterView,
  Server_State as ServerState,
  type ServerStatus,
  type ServerView,
} from "@berth/proto";
import type { Logger } from "pino";
import type { ObservedMember } from "../../core/membership/etcd-membership.js";
import { onAbort } from "../../runtime/abort.js";
import { sleep } from "../../runtime/clock.js";
import type { ApiContext } from "../api-context.js";
import { authorityStatus } from "../identities/authority-status.js";
import { listEtcdAuthorities } from "../identities/etcd-authorities.js";
import { serverStatuses } from "../servers/list-servers.js";

/** Interval between two health checks of the etcd members. */
const MEMBERS_INTERVAL_MS = 5_000;

export interface ClusterObserverOptions
  extends Pick<
    ApiContext,
    "state" | "runtime" | "registrations" | "membership" | "address" | "secrets" | "hasEmbeddedEtcd"
  > {
  readonly logger: Logger;
  /** Calls the listener when a registration has changed. The returned function removes the listener. */
  readonly onRegistrationsChange: (listener: () => void) => () => void;
}

/**
 * Observes the servers, the members of etcd and the authorities until the signal aborts. Calls the listener when they may
 * have changed. Returns a function that returns their current view.
 */
export function observeCluster(
  options: ClusterObserverOptions,
  onChange: () => void,
  signal: AbortSignal,
): () => ClusterView {
  let members: readonly ObservedMember[] = [];
  onAbort(signal, options.onRegistrationsChange(onChange));
  const setMembers = (observed: readonly ObservedMember[]): void => {
    members = observed;
    onChange();
  };
  void followMembers(options, setMembers, signal);
  return () => toClusterView(options, members);
}

/** Observes the members of etcd every 5 s until the signal aborts. Keeps the last result while etcd is unavailable. */
async function followMembers(
  { membership, runtime, logger }: ClusterObserverOptions,
  setMembers: (members: readonly ObservedMember[]) => void,
  signal: AbortSignal,
): Promise<void> {
  if (membership === undefined) return;
  while (!signal.aborted) {
    try {
      setMembers(await membership.observe(signal));
    } catch (error) {
      if (!signal.aborted) logger.debug({ err: error }, "cannot observe the members of etcd");
    }
    await sleep(runtime.clock, MEMBERS_INTERVAL_MS, signal);
  }
}

function toClusterView(options: ClusterObserverOptions, members: readonly ObservedMember[]): ClusterView {
  const { state, registrations, address } = options;
  const { servers, voters, runningVoters } = serverStatuses({ state, registrations, address }, members);
  const webUrls = new Map(registrations().map(({ id, webUrl }) => [id, webUrl]));
  const authorities = [...state.authorities.values()].sort((a, b) => a.createdAtMs - b.createdAtMs);
  const statuses = authorities.map((authority) => authorityStatus(authority, { waitingFor: [] }));
  return {
    leaderAddress: address,
    leaderVersion: BERTH_VERSION,
    servers: servers.map((server) => toServerView(server, webUrls.get(server.server?.id ?? "") ?? "")),
    voters,
    runningVoters,
    authorities: [
      ...statuses.map((status) => toAuthorityView(status, { isOfEtcd: false })),
      ...listEtcdAuthorities(options).map((status) => toAuthorityView(status, { isOfEtcd: true })),
    ],
    isRestorePending: state.isRestorePending,
  };
}

function toServerView(
  { server, version, isLeader, certificateExpiresAtMs, etcd }: ServerStatus,
  webUrl: string,
): ServerView {
  return {
    id: server?.id ?? "",
    hostname: server?.hostname ?? "",
    address: server?.address ?? "",
    isUp: server?.state === ServerState.UP,
    isLeader,
    version,
    certificateExpiresAtMs,
    webUrl,
    etcdMemberId: etcd?.id ?? "",
    isLearner: etcd?.isLearner ?? false,
    isEtcdRunning: etcd?.isRunning ?? false,
  };
}

function toAuthorityView(
  { fingerprint, state, createdAtMs, expiresAtMs }: AuthorityStatus,
  { isOfEtcd }: Pick<AuthorityView, "isOfEtcd">,
): AuthorityView {
  return { fingerprint, state, createdAtMs, expiresAtMs, isOfEtcd };
}
