import { isDeepStrictEqual } from "node:util";
import type { Authority } from "@berth/proto";
import { tlsMaterialOf } from "@berth/proto/rpc";
import type { Logger } from "pino";
import { CertificateManager } from "../identity/certificate-manager.js";
import type { ServerIdentity } from "../identity/server-identity.js";
import { sleep } from "../runtime/clock.js";
import type { Runtime } from "../runtime/runtime.js";
import { decodeEntry } from "../state/change.js";
import { AUTHORITIES_PREFIX } from "../store/keys.js";
import { listAndWatch } from "../store/list-watch.js";
import { readAll } from "../store/read.js";
import type { Store } from "../store/store.js";

export interface ServerCertificateOptions {
  readonly identity: ServerIdentity;
  /** IP addresses and DNS names at which browsers open the web UI. */
  readonly hosts: readonly string[];
  readonly store: Store;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/** Pause after a change of the authorities failed to apply. */
const RETRY_MS = 1_000;

/**
 * Reissues the server's certificate if it has expired or the authorities have changed. Returns the loop that renews it
 * later. Without authorities in etcd, the current certificate is kept, and clients report if they reject it.
 */
export async function openServerCertificate(
  options: ServerCertificateOptions,
  signal: AbortSignal,
): Promise<(signal: AbortSignal) => Promise<void>> {
  const { identity, hosts, store, runtime, logger } = options;
  const { directory, serverId, clusterKey, rpc } = identity;
  const files = await directory.load();
  if (files === undefined) throw new Error(`${directory.path} has lost its certificate`);
  const certificate = new CertificateManager(
    {
      directory,
      serverId,
      clusterKey,
      hosts,
      authorities: (abort) => readAuthorities(store, identity.firstAuthority, abort),
      wallClockMs: () => runtime.wallClockMs(),
    },
    files,
    {
      // New connections use the new certificate.
      onStored: (stored) => {
        const material = tlsMaterialOf(stored);
        if (!isDeepStrictEqual(material, rpc.current)) rpc.update(material);
      },
      onFailure: (error) => logFailure(logger, error),
    },
  );
  await tryReissue(certificate, logger, signal);
  return (abort) => keepValid(certificate, options, abort);
}

/** Renews the certificate when the authorities change, and after half of its validity, until the signal is aborted. */
async function keepValid(
  certificate: CertificateManager,
  { store, runtime, logger }: ServerCertificateOptions,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = runtime;
  certificate.startRenewal(signal);
  const span = { prefix: AUTHORITIES_PREFIX };
  for await (const { kind } of listAndWatch({ store, clock, span }, signal)) {
    if (kind === "unreachable") continue;
    await certificate.stopRenewal();
    while (!signal.aborted && !(await tryReissue(certificate, logger, signal).catch(() => false))) {
      await sleep(clock, RETRY_MS, signal);
    }
    certificate.startRenewal(signal);
  }
  await certificate.stopRenewal();
}

/** Reissues the certificate if needed. Returns whether that has succeeded. */
async function tryReissue(
  certificate: CertificateManager,
  logger: Logger,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await certificate.reissueIfNeeded(signal);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    logFailure(logger, error);
    return false;
  }
}

function logFailure(logger: Logger, error: unknown): void {
  logger.warn({ err: error }, "cannot renew the certificate of this server");
}

/** Returns the authorities in etcd; before the first leader has stored them, the authority that this server created. */
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
