import { execFileSync } from "node:child_process";
import type { EtcdTlsFiles } from "../../packages/control-plane/src/store/etcd-tls.js";

export interface EtcdctlTarget {
  readonly endpoint: string;
  /** Undefined for an etcd without TLS. */
  readonly tls?: EtcdTlsFiles | undefined;
}

/** Runs etcdctl and returns its output. */
export function etcdctl({ endpoint, tls }: EtcdctlTarget, ...args: string[]): string {
  const files = tls && ["--cacert", tls.authoritiesFile, "--cert", tls.certificateFile, "--key", tls.keyFile];
  return execFileSync("etcdctl", ["--endpoints", endpoint, ...(files ?? []), ...args], {
    env: { ...process.env, ETCDCTL_API: "3" },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
}
