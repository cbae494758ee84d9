// The entry points of the other packages. The command line loads them with import() when their command runs. It does
// not depend on these packages when it is compiled.

declare module "@berth/control-plane/main" {
  /** Runs `berth server` and returns its exit code. */
  export function main(argv: readonly string[]): Promise<number>;
}

declare module "@berth/agent/main" {
  /** Runs `berth agent` and returns its exit code. */
  export function main(argv: readonly string[]): Promise<number>;
}

declare module "@berth/agent/doctor" {
  /** Runs `berth doctor` and returns its exit code. */
  export function main(argv: readonly string[]): Promise<number>;
}

declare module "@berth/control-plane/backup" {
  import type { BackupSummary } from "@berth/proto";

  /** Secret that decrypts a backup. */
  export type BackupKey =
    | { readonly kind: "passphrase"; readonly passphrase: string }
    | { readonly kind: "identities"; readonly identities: readonly string[] };

  /** The options of an external etcd, which the control plane checks. */
  interface EtcdOptions {
    readonly etcd?: string;
    readonly etcdCa?: string;
    readonly etcdCert?: string;
    readonly etcdKey?: string;
  }

  export interface RestoreArguments {
    readonly path: string;
    readonly key: BackupKey;
    readonly dataDir: string | undefined;
    readonly etcd: EtcdOptions;
    readonly force: boolean;
    readonly onProgress: (step: string) => void;
  }

  export function inspectBackup(backup: {
    readonly path: string;
    readonly key: BackupKey;
  }): Promise<BackupSummary>;

  export function restoreBackup(options: RestoreArguments, signal: AbortSignal): Promise<BackupSummary>;
}
