import { rm } from "node:fs/promises";
import { isIP } from "node:net";
import { isBerthError } from "@berth/proto";
import { IdentityDirectory, type IdentityFiles, type IdentityPaths } from "@berth/proto/identity";
import { type CertificateEvents, CertificateManager } from "./certificate-manager.js";
import { ensureCertificate, type OwnCertificate } from "./own-certificate.js";
import type { ServerIdentity } from "./server-identity.js";

/** A server's certificate for etcd. The server's etcd and the server's etcd client use the same certificate. */
export interface EtcdCertificate {
  /** Paths of the certificate files, which etcd reads again for each new connection. */
  readonly paths: IdentityPaths;
  readonly files: IdentityFiles;
  /** Returns the certificate's manager. Renewal begins with the manager's `startRenewal`. */
  manage(events: CertificateEvents): CertificateManager;
}

export interface EtcdCertificateOptions {
  readonly identity: Pick<ServerIdentity, "serverId" | "clusterKey" | "etcdAuthorities" | "etcdPath">;
  /** Hosts at which other programs reach the server's etcd. Certificates contain only the IP addresses. */
  readonly hosts: readonly string[];
  readonly wallClockMs: () => number;
}

/**
 * Opens the certificate for etcd, or issues one if the directory contains none. The issuer is etcd's own authority, which
 * only servers have. A damaged directory is recreated, because the certificate can be issued again.
 */
export async function openEtcdCertificate(
  { identity, hosts, wallClockMs }: EtcdCertificateOptions,
  signal: AbortSignal,
): Promise<EtcdCertificate> {
  const { serverId, clusterKey, etcdPath } = identity;
  const directory = await openOrRecreateDirectory(etcdPath);
  const own: OwnCertificate = {
    directory,
    serverId,
    clusterKey,
    wallClockMs,
    hosts: [...new Set(hosts.filter((host) => isIP(host) !== 0))],
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

/** Opens the directory. Deletes the contents of a damaged directory first. */
async function openOrRecreateDirectory(path: string): Promise<IdentityDirectory> {
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
