import type { BackupSummary } from "@berth/proto";
import type { BackupUnlock } from "./protection.js";

/** The functions of the control plane that read backups. The CLI does not depend on that package at build time. */
export interface BackupModule {
  inspectBackup(backup: { readonly file: string; readonly unlock: BackupUnlock }): Promise<BackupSummary>;
  restoreBackup(options: RestoreArguments, signal: AbortSignal): Promise<BackupSummary>;
}

export interface RestoreArguments {
  readonly file: string;
  readonly unlock: BackupUnlock;
  readonly dataDir: string | undefined;
  readonly etcd: EtcdArguments;
  readonly force: boolean;
  readonly onProgress: (step: string) => void;
}

/** The options of an external etcd, which the control plane checks. */
export interface EtcdArguments {
  readonly etcd?: string;
  readonly etcdCa?: string;
  readonly etcdCert?: string;
  readonly etcdKey?: string;
}

export async function loadBackupModule(): Promise<BackupModule> {
  const specifier = "@berth/control-plane/backup";
  const loaded: unknown = await import(import.meta.resolve(specifier));
  if (!isBackupModule(loaded)) throw new Error(`${specifier} has no restoreBackup()`);
  return loaded;
}

function isBackupModule(value: unknown): value is BackupModule {
  return typeof value === "object" && value !== null && "restoreBackup" in value && "inspectBackup" in value;
}
