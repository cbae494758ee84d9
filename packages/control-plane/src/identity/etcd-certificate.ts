import { rm } from "node:fs/promises";
import { isIP } from "node:net";
import { isBerthError } from "@berth/proto";
import { IdentityDirectory, type IdentityFiles, type IdentityPaths } from "@berth/proto/identity";
import { type CertificateEvents, CertificateManager } from "./certificate-manager.js";
import { ensureCertificate, type OwnCertificate } from "./own-certificate.js";
import type { ServerIdentity } from "./server-identity.js";

/** A server's certificate for etcd. The server's etcd and its client use the same one. */
export interface EtcdCertificate {
  /** Paths of the files. etcd reads them again for each new connection. */
  readonly paths: IdentityPaths;
  readonly files: IdentityFiles;
  /** Returns the manager of the certificate, which renews it once `startRenewal` is called. */
  manage(events: CertificateEvents): CertificateManager;
}

export interface EtcdCertificateOptions {
  readonly identity: Pick<ServerIdentity, "serverId" | "clusterKey" | "etcdAuthorities" | "etcdPath">;
  /** Hosts at which other programs reach the server's etcd. Certificates contain only the IP addresses. */
  readonly hosts: readonly string[];
  readonly wallClockMs: () => number;
}

/**
 * Issues the certificate for etcd, unless the directory contains one. Uses the authorities of etcd, which only servers
 * have. A damaged directory is recreated, because its contents can be issued again.
 */
export async function openEtcdCertificate(
  { identity, hosts, wallClockMs }: EtcdCertificateOptions,
  signal: AbortSignal,
): Promise<EtcdCertificate> {
  const { serverId, clusterKey, etcdPath } = identity;
  const directory = await openReadableDirectory(etcdPath);
  const own: OwnCertificate = {
    directory,
    serverId,
    clusterKey,
    wallClockMs,
    ipAddresses: [...new Set(hosts.filter((host) => isIP(host) !== 0))],
    // The authorities change during their rotation, and are re-encrypted when the cluster key is rotated.
    authorities: async () => identity.etcdAuthorities,
  };
  const files = await ensureCertificate(own, signal);
  return {
    paths: directory.paths,
    files,
    manage: (events) => new CertificateManager(own, files, events),
  };
}

async function openReadableDirectory(path: string): Promise<IdentityDirectory> {
  const directory = await IdentityDirectory.open(path);
  try {
    await directory.load();
    return directory;
  } catch (error) {
    if (!isBerthError(error, "BERTH_IDENTITY_INVALID")) throw error;
  }
  await rm(path, { recursive: true, force: true });
  return IdentityDirectory.open(path);
}
