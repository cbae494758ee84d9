import { rm } from "node:fs/promises";
import { isIP } from "node:net";
import { isBerthError } from "@berth/proto";
import { type IdentityFiles, IdentityFolder, type IdentityPaths } from "@berth/proto/identity";
import { ensureCertificate, keepCertificate, type OwnCertificate } from "./own-certificate.js";
import type { ServerIdentity } from "./server-identity.js";

/** A server's certificate for etcd. The server's etcd and its client use the same one. */
export interface EtcdCertificate {
  /** Paths of the files. etcd reads them again for each new connection. */
  readonly paths: IdentityPaths;
  readonly files: IdentityFiles;
  /** Renews the certificate until the signal aborts. */
  keepValid(events: EtcdCertificateEvents, signal: AbortSignal): Promise<void>;
}

export interface EtcdCertificateEvents {
  /** Called with each new certificate once it is stored. */
  readonly onRenewed: (files: IdentityFiles) => void;
  readonly onFailure: (error: unknown) => void;
}

export interface EtcdCertificateOptions {
  readonly identity: Pick<ServerIdentity, "serverId" | "clusterKey" | "etcdAuthority" | "etcdPath">;
  /** Hosts at which other programs reach the server's etcd. Certificates have only those that are IP addresses. */
  readonly hosts: readonly string[];
  readonly wallClockMs: () => number;
}

/**
 * Issues the certificate for etcd, unless the folder has one. Uses the authority for etcd, which only servers have.
 * A damaged folder is created again, since everything in it can be issued again.
 */
export async function openEtcdCertificate(
  { identity, hosts, wallClockMs }: EtcdCertificateOptions,
  signal: AbortSignal,
): Promise<EtcdCertificate> {
  const { serverId, clusterKey, etcdPath } = identity;
  const folder = await openReadableFolder(etcdPath);
  const own: OwnCertificate = {
    ...{ folder, serverId, clusterKey, wallClockMs },
    ipAddresses: [...new Set(hosts.filter((host) => isIP(host) !== 0))],
    // Its key is encrypted again when the cluster key is rotated.
    authorities: async () => [identity.etcdAuthority],
  };
  const files = await ensureCertificate(own, signal);
  return {
    ...{ paths: folder.paths, files },
    keepValid: (events, abort) => keepCertificate(own, { files, ...events }, abort),
  };
}

async function openReadableFolder(path: string): Promise<IdentityFolder> {
  const folder = await IdentityFolder.open(path);
  try {
    await folder.load();
    return folder;
  } catch (error) {
    if (!isBerthError(error, "BERTH_IDENTITY_INVALID")) throw error;
  }
  await rm(path, { recursive: true, force: true });
  return IdentityFolder.open(path);
}
