import { type BackupSummary, type GetRestoreResponse, Restore_State } from "@berth/proto";
import { pluralize } from "./human.js";
import { formatTable } from "./table.js";

/** The record collections that a summary counts, by their names in etcd. Users do not need to know about the others. */
const COUNTED_COLLECTIONS: readonly (readonly [collection: string, singular: string, plural: string])[] = [
  ["services", "service", "services"],
  ["revisions", "version", "versions"],
  ["tasks", "task", "tasks"],
  ["nodes", "node", "nodes"],
  ["networks", "network", "networks"],
  ["files", "version of secrets and configs", "versions of secrets and configs"],
  ["users", "user", "users"],
  ["tokens", "join token", "join tokens"],
  ["authorities", "CA", "CAs"],
];

/** Returns the text of `berth backup inspect`. */
export function describeBackup(summary: BackupSummary): string {
  const { cluster, createdAtMs, revision, berthVersion, records, servers, authority } = summary;
  const counts = COUNTED_COLLECTIONS.map(([collection, singular, plural]) => {
    const count = records[collection] ?? 0;
    return `${count} ${count === 1 ? singular : plural}`;
  });
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
  const { restore, missingNodes, missingNodeCount, unknownTaskCount } = response;
  if (restore === undefined) return "The cluster has never been restored from a backup\n";
  const lines = [
    `Restored:  ${new Date(restore.restoredAtMs).toISOString()}`,
    `Backup:    ${new Date(restore.backupCreatedAtMs).toISOString()}`,
    `State:     ${restoreStateText(restore.state)}`,
  ];
  if (restore.state === Restore_State.PENDING) {
    const omittedCount = missingNodeCount - missingNodes.length;
    const names = [...missingNodes, ...(omittedCount > 0 ? [`and ${omittedCount} more`] : [])].join(", ");
    lines.push(`Missing:   ${missingNodeCount === 0 ? "no nodes" : names}`);
    if (unknownTaskCount > 0) lines.push("", ...unknownTaskLines(response));
  }
  return `${lines.join("\n")}\n`;
}

/** Returns a table of the containers of unknown tasks, and what to do about them. */
function unknownTaskLines({ unknownTasks, unknownTaskCount }: GetRestoreResponse): readonly string[] {
  const table = formatTable(
    [
      { title: "NODE", cell: ({ node }) => node },
      { title: "CONTAINER", cell: ({ task }) => task?.containerName ?? "" },
      { title: "CONTAINER ID", cell: ({ task }) => task?.containerId.slice(0, 12) ?? "" },
    ],
    unknownTasks,
  );
  const containers = pluralize(unknownTaskCount, "container");
  return [
    table,
    `${containers} started after the backup. They run, but get no new connections.`,
    'Deploy their stacks again with --detach, and then run "berth backup complete" to remove them.',
  ];
}

function restoreStateText(state: Restore_State): string {
  return state === Restore_State.PENDING ? "pending" : "complete";
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
            state: restoreStateText(restore.state),
          },
    missingNodes,
    missingNodeCount,
    unknownTaskCount,
    unknownTasks: unknownTasks.map(({ node, task }) => ({ node, ...task })),
  };
}
