import { isDeepStrictEqual } from "node:util";
import type { Authority } from "@berth/proto";
import { tlsMaterialOf } from "@berth/proto/rpc";
import type { Logger } from "pino";
import { KeptCertificate } from "../identity/kept-certificate.js";
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
  readonly store: Store;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/** Pause after a change of the authorities could not be applied. */
const RETRY_MS = 1_000;

/**
 * Issues the server's certificate again if it has expired, or if the authorities have changed. Returns the loop that
 * renews it later. Without authorities in etcd, the current certificate stays: clients report if they reject it.
 */
export async function openServerCertificate(
  options: ServerCertificateOptions,
  signal: AbortSignal,
): Promise<(signal: AbortSignal) => Promise<void>> {
  const { identity, store, runtime, logger } = options;
  const { folder, serverId, clusterKey, rpc } = identity;
  const files = await folder.load();
  if (files === undefined) throw new Error(`${folder.path} has lost its certificate`);
  const certificate = new KeptCertificate(
    {
      ...{ folder, serverId, clusterKey, ipAddresses: [] },
      authorities: (abort) => readAuthorities(store, identity.firstAuthority, abort),
      wallClockMs: () => runtime.wallClockMs(),
    },
    files,
    {
      // New connections use the certificate from now on.
      onStored: (stored) => {
        const material = tlsMaterialOf(stored);
        if (!isDeepStrictEqual(material, rpc.current)) rpc.update(material);
      },
      onFailure: (error) => logFailure(logger, error),
    },
  );
  await tryCheck(certificate, logger, signal);
  return (abort) => keepValid(certificate, options, abort);
}

/** Renews the certificate when the authorities change, and after half of its validity, until the signal aborts. */
async function keepValid(
  certificate: KeptCertificate,
  { store, runtime, logger }: ServerCertificateOptions,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = runtime;
  certificate.startRenewal(signal);
  const span = { prefix: AUTHORITIES_PREFIX };
  for await (const { kind } of listAndWatch({ store, clock, span }, signal)) {
    if (kind === "unreachable") continue;
    await certificate.stopRenewal();
    while (!signal.aborted && !(await tryCheck(certificate, logger, signal).catch(() => false)))
      await sleep(clock, RETRY_MS, signal);
    certificate.startRenewal(signal);
  }
  await certificate.stopRenewal();
}

/** Returns whether the check of the certificate has succeeded. */
async function tryCheck(certificate: KeptCertificate, logger: Logger, signal: AbortSignal): Promise<boolean> {
  try {
    await certificate.check(signal);
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
