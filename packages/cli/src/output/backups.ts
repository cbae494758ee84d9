import { type BackupSummary, type GetRestoreResponse, Restore_State } from "@berth/proto";
import { pluralize } from "./human.js";
import { formatTable } from "./table.js";

/** The record collections that a summary counts, by their names in etcd. Users do not need to know about the others. */
const COUNTED_COLLECTIONS: readonly (readonly [collection: string, title: string])[] = [
  ["services", "services"],
  ["revisions", "versions"],
  ["tasks", "tasks"],
  ["nodes", "nodes"],
  ["networks", "networks"],
  ["files", "versions of secrets and configs"],
  ["users", "users"],
  ["tokens", "join tokens"],
  ["authorities", "CAs"],
];

/** Returns the text of `berth backup inspect`. */
export function describeBackup(summary: BackupSummary): string {
  const { cluster, createdAtMs, revision, berthVersion, records, servers, authority } = summary;
  const counts = COUNTED_COLLECTIONS.map(([collection, title]) => `${records[collection] ?? 0} ${title}`);
  return [
    `Cluster:   ${cluster}`,
    `Created:   ${new Date(createdAtMs).toISOString()} by berth ${berthVersion}`,
    `Revision:  ${revision}`,
    `CA:        ${authority}`,
    `Servers:   ${servers.join(", ")}`,
    `Contents:  ${counts.join(", ")}`,
    "",
  ].join("\n");
}

export function backupJson(summary: BackupSummary): object {
  const { cluster, createdAtMs, revision, berthVersion, records, servers, authority } = summary;
  return { cluster, createdAtMs, revision, berthVersion, authority, servers, records };
}

/** Returns the text of `berth backup status`. */
export function describeRestore(response: GetRestoreResponse): string {
  const { restore, missingNodes, missingNodeCount, unknownTasks, unknownTaskCount } = response;
  if (restore === undefined) return "The cluster has never been restored from a backup\n";
  const isPending = restore.state === Restore_State.PENDING;
  const lines = [
    `Restored:  ${new Date(restore.restoredAtMs).toISOString()}`,
    `Backup:    ${new Date(restore.backupCreatedAtMs).toISOString()}`,
    `State:     ${isPending ? "pending" : "complete"}`,
  ];
  if (!isPending) return `${lines.join("\n")}\n`;
  const omittedCount = missingNodeCount - missingNodes.length;
  const names = [...missingNodes, ...(omittedCount > 0 ? [`and ${omittedCount} more`] : [])].join(", ");
  lines.push(`Missing:   ${missingNodeCount === 0 ? "no nodes" : names}`);
  if (unknownTaskCount === 0) return `${lines.join("\n")}\n`;
  const table = formatTable(
    [
      { title: "NODE", cell: ({ node }) => node },
      { title: "CONTAINER", cell: ({ task }) => task?.containerName ?? "" },
      { title: "CONTAINER ID", cell: ({ task }) => task?.containerId.slice(0, 12) ?? "" },
    ],
    unknownTasks,
  );
  const advice = `${pluralize(unknownTaskCount, "container")} started after the backup. They run, but get no new connections.
Deploy their stacks again with --detach, and then run "berth backup complete" to remove them.`;
  return `${lines.join("\n")}\n\n${table}\n${advice}\n`;
}

export function restoreJson(response: GetRestoreResponse): object {
  const { restore, missingNodes, missingNodeCount, unknownTasks, unknownTaskCount } = response;
  return {
    restore:
      restore === undefined
        ? null
        : {
            restoredAtMs: restore.restoredAtMs,
            backupCreatedAtMs: restore.backupCreatedAtMs,
            state: restore.state === Restore_State.PENDING ? "pending" : "complete",
          },
    missingNodes,
    missingNodeCount,
    unknownTaskCount,
    unknownTasks: unknownTasks.map(({ node, task }) => ({ node, ...task })),
  };
}
