import type { Authority } from "@berth/proto";
import { tlsMaterialOf } from "@berth/proto/rpc";
import type { Logger } from "pino";
import { ensureCertificate, keepCertificate, type OwnCertificate } from "../identity/own-certificate.js";
import type { ServerIdentity } from "../identity/server-identity.js";
import type { Runtime } from "../runtime/runtime.js";
import { decodeEntry } from "../state/change.js";
import { AUTHORITIES_PREFIX } from "../store/keys.js";
import { readAll } from "../store/read.js";
import type { Store } from "../store/store.js";

export interface ServerCertificateOptions {
  readonly identity: ServerIdentity;
  readonly store: Store;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/**
 * Issues the server's certificate again if it has expired, or if the authorities have changed. Returns the loop that
 * renews it later. Without authorities in etcd, the current certificate stays: clients report if they reject it.
 */
export async function openServerCertificate(
  options: ServerCertificateOptions,
  signal: AbortSignal,
): Promise<(signal: AbortSignal) => Promise<void>> {
  const { identity, store, runtime, logger } = options;
  const { folder, serverId, clusterKey, firstAuthority, rpc } = identity;
  const own: OwnCertificate = {
    ...{ folder, serverId, clusterKey, ipAddresses: [] },
    authorities: (abort) => readAuthorities(store, firstAuthority, abort),
    wallClockMs: () => runtime.wallClockMs(),
  };
  const onFailure = (error: unknown): void =>
    logger.warn({ err: error }, "cannot renew the certificate of this server");
  const files = await ensureCertificate(own, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    onFailure(error);
    return folder.load();
  });
  if (files === undefined) throw new Error(`${folder.path} has lost its certificate`);
  rpc.update(tlsMaterialOf(files));
  return (abort) =>
    keepCertificate(own, { files, onRenewed: (next) => rpc.update(tlsMaterialOf(next)), onFailure }, abort);
}

/** Returns the authorities in etcd. Before the first leader has stored any, the one that this server has created. */
async function readAuthorities(
  store: Store,
  first: Authority | undefined,
  signal: AbortSignal,
): Promise<readonly Authority[]> {
  const { entries } = await readAll(store, { prefix: AUTHORITIES_PREFIX }, signal);
  const authorities = entries.flatMap((entry) => {
    const decoded = decodeEntry(entry);
    return decoded.kind === "put" && decoded.put.kind === "put-authority" ? [decoded.put.authority] : [];
  });
  return authorities.length === 0 && first !== undefined ? [first] : authorities;
}
