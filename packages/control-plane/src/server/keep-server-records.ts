import { type Server, Server_State as State } from "@berth/proto";
import type { Logger } from "pino";
import type { MembershipChanges } from "../api/servers/membership-changes.js";
import { memberOf } from "../core/membership/server-members.js";
import {
  expiredServers,
  isRemoved,
  planServerHosts,
  planServerRecords,
  type ServerRegistration,
} from "../core/membership/server-records.js";
import type { Writer } from "../reconciler/writer.js";
import { sleep } from "../runtime/clock.js";
import { Notifier } from "../runtime/notifier.js";
import type { Runtime } from "../runtime/runtime.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";

/** Minimum interval of updates, which visit all nodes, and interval of attempts to remove an etcd member. */
const INTERVAL_MS = 500;

/** Interval of the log lines about a member that cannot be removed yet. */
const LOG_INTERVAL_MS = 10_000;

export interface ServerRecordsOptions {
  readonly state: ClusterState;
  readonly writer: Pick<Writer, "submit">;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** ID of this server. */
  readonly serverId: string;
  readonly registrations: () => readonly ServerRegistration[];
  readonly onRegistrationsChange: (listener: () => void) => () => void;
  /** Changes the members of the embedded etcd. Undefined with an external etcd. */
  readonly membership: MembershipChanges | undefined;
  /** Makes the etcd member on this host etcd's leader. Undefined if etcd is external. */
  readonly moveEtcdLeader?: ((signal: AbortSignal) => Promise<unknown>) | undefined;
}

/**
 * Keeps the records of the servers, and of the nodes on their hosts, up to date with the registrations. Removes the
 * etcd members of removed servers. Ends when the signal is aborted.
 */
export async function keepServerRecords(options: ServerRecordsOptions, signal: AbortSignal): Promise<void> {
  const { state, runtime, logger, onRegistrationsChange } = options;
  let loggedAtMs = Number.NEGATIVE_INFINITY;
  let isUpdateDue = true;
  const changed = new Notifier();
  const onChange = (): void => {
    isUpdateDue = true;
    changed.notifyAll();
  };
  const unsubscribes = [
    onRegistrationsChange(onChange),
    state.onChange(({ nodes, areServersChanged }) => {
      if (nodes.size > 0 || areServersChanged) onChange();
    }),
  ];
  while (!signal.aborted) {
    if (!isUpdateDue) await changed.wait(signal);
    isUpdateDue = false;
    try {
      await updateRecords(options, signal);
      const problem = await finishRemovals(options, signal);
      isUpdateDue ||= problem !== undefined;
      const nowMs = runtime.clock.nowMs();
      if (problem !== undefined && nowMs - loggedAtMs > LOG_INTERVAL_MS) {
        loggedAtMs = nowMs;
        logger.warn({ problem }, "cannot remove the etcd member of a removed server yet");
      }
    } catch (error) {
      if (signal.aborted) break;
      isUpdateDue = true;
      logger.warn({ err: error }, "failed to update the records of the servers");
    }
    await sleep(runtime.clock, INTERVAL_MS, signal);
  }
  for (const unsubscribe of unsubscribes) unsubscribe();
}

async function updateRecords(
  { state, writer, runtime, registrations, serverId }: ServerRecordsOptions,
  signal: AbortSignal,
): Promise<void> {
  // Without this server, the registrations have not been loaded yet.
  if (!registrations().some(({ id }) => id === serverId)) return;
  const plan = (): readonly Change[] => [
    ...planServerRecords(state.servers, registrations(), runtime.wallClockMs()).map(
      (server): Change => ({ kind: "put-server", server }),
    ),
    ...expiredServers(state.servers).map((id): Change => ({ kind: "delete-server", serverId: id })),
    ...planServerHosts(state.nodes.values(), state.servers).map(
      (node): Change => ({ kind: "put-node", node }),
    ),
  ];
  if (plan().length === 0) return;
  await writer.submit(() => ({ changes: plan(), result: undefined }), signal);
}

/** Completes pending removals. Returns why one of them cannot be completed yet. */
async function finishRemovals(
  options: ServerRecordsOptions,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { state, writer, runtime, logger, serverId } = options;
  let problem: string | undefined;
  for (const server of state.servers.values()) {
    // A removed leader resigns; the next one removes its member.
    if (server.state !== State.REMOVING || server.id === serverId) continue;
    const reason = await removeMember(server, options, signal);
    problem ??= reason;
    if (reason !== undefined) continue;
    await writer.submit(({ servers }) => {
      // The record may have changed during the request to etcd.
      const current = servers.get(server.id);
      if (current?.state !== State.REMOVING) return { changes: [], result: undefined };
      const removed = { ...current, state: State.REMOVED, stateSinceMs: runtime.wallClockMs() };
      return { changes: [{ kind: "put-server", server: removed }], result: undefined };
    }, signal);
    logger.info({ server: server.id, hostname: server.hostname }, "server removed");
  }
  return problem;
}

/** Removes the etcd member of a server. Returns why it cannot be removed yet. */
async function removeMember(
  server: Server,
  { state, membership, moveEtcdLeader }: ServerRecordsOptions,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (membership === undefined) return undefined;
  const current = [...state.servers.values()].filter((server) => !isRemoved(server));
  const [peerUrl] = memberOf(server, await membership.observe(signal), current)?.peerUrls ?? [];
  if (peerUrl === undefined) return undefined;
  // The removal of etcd's leader would cost an election.
  await moveEtcdLeader?.(signal);
  const result = await membership.apply({ kind: "remove", peerUrl }, signal);
  return result.kind === "done" ? undefined : result.reason;
}
