// The entry point for `berth backup inspect` and `berth backup restore`, which run without a server.
import type { BackupSummary } from "@berth/proto";
import { type EtcdOptions, parseEtcdOptions } from "../config.js";
import { DEFAULT_DATA_DIR } from "../server-command.js";
import { readEtcdTls } from "../store/etcd-tls.js";
import { type RestoreOptions, restoreBackup as restore } from "./restore-backup.js";

export type { BackupKey } from "./age.js";
export { type BackupFile, inspectBackup } from "./read-backup.js";

export interface RestoreArguments extends Omit<RestoreOptions, "etcd" | "dataDir"> {
  /** Data directory. Undefined for the default of `berth server`. */
  readonly dataDir: string | undefined;
  readonly etcd: EtcdOptions;
}

/** Restores a cluster from a backup, see `restoreBackup` in restore-backup.ts. */
export async function restoreBackup(
  { etcd: etcdOptions, dataDir = DEFAULT_DATA_DIR, ...options }: RestoreArguments,
  signal: AbortSignal,
): Promise<BackupSummary> {
  const { etcd: endpoints, etcdTls } = parseEtcdOptions(etcdOptions);
  const tls = etcdTls && (await readEtcdTls(etcdTls, Date.now()));
  return restore({ ...options, dataDir, ...(endpoints && { etcd: { endpoints, tls } }) }, signal);
}
