import { isDeepStrictEqual } from "node:util";
import type { Authority } from "@berth/proto";
import type { IdentityFiles } from "@berth/proto/identity";
import { tlsMaterialOf } from "@berth/proto/rpc";
import type { Logger } from "pino";
import { ensureCertificate, keepCertificate, type OwnCertificate } from "../identity/own-certificate.js";
import type { ServerIdentity } from "../identity/server-identity.js";
import { linkSignals } from "../runtime/abort.js";
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
  const certificate = await ServerCertificate.load(options);
  await certificate.update(signal);
  return (abort) => certificate.keepValid(abort);
}

/** The server's certificate for members and users. */
class ServerCertificate {
  readonly #options: ServerCertificateOptions;
  readonly #own: OwnCertificate;
  #files: IdentityFiles;

  private constructor(options: ServerCertificateOptions, files: IdentityFiles) {
    const { identity, store, runtime } = options;
    const { folder, serverId, clusterKey } = identity;
    this.#options = options;
    this.#own = {
      ...{ folder, serverId, clusterKey, ipAddresses: [] },
      authorities: (abort) => readAuthorities(store, identity.firstAuthority, abort),
      wallClockMs: () => runtime.wallClockMs(),
    };
    this.#files = files;
  }

  static async load(options: ServerCertificateOptions): Promise<ServerCertificate> {
    const { folder } = options.identity;
    const files = await folder.load();
    if (files === undefined) throw new Error(`${folder.path} has lost its certificate`);
    return new ServerCertificate(options, files);
  }

  /** Issues the certificate again if necessary. Returns whether this, or the check, has succeeded. */
  async update(signal: AbortSignal): Promise<boolean> {
    try {
      this.#use(await ensureCertificate(this.#own, signal));
      return true;
    } catch (error) {
      signal.throwIfAborted();
      this.#logFailure(error);
      return false;
    }
  }

  /** Renews the certificate when the authorities change, and after half of its validity, until the signal aborts. */
  async keepValid(signal: AbortSignal): Promise<void> {
    const { store, runtime } = this.#options;
    const { clock } = runtime;
    let renewal = this.#startRenewal(signal);
    for await (const { kind } of listAndWatch(
      { store, clock, span: { prefix: AUTHORITIES_PREFIX } },
      signal,
    )) {
      if (kind === "unreachable") continue;
      await renewal.stop();
      while (!signal.aborted && !(await this.update(signal).catch(() => false)))
        await sleep(clock, RETRY_MS, signal);
      renewal = this.#startRenewal(signal);
    }
    await renewal.stop();
  }

  /** Starts the loop that renews the certificate after half of its validity. */
  #startRenewal(signal: AbortSignal): { stop(): Promise<void> } {
    const linked = linkSignals(signal);
    const ended = this.#renew(linked.signal);
    return {
      stop: async () => {
        linked.abort();
        linked.unlink();
        await ended;
      },
    };
  }

  #renew(signal: AbortSignal): Promise<void> {
    return keepCertificate(
      this.#own,
      {
        files: this.#files,
        onRenewed: (files) => this.#use(files),
        onFailure: (error) => this.#logFailure(error),
      },
      signal,
    );
  }

  /** New connections use the certificate from now on. */
  #use(files: IdentityFiles): void {
    const { rpc } = this.#options.identity;
    this.#files = files;
    const material = tlsMaterialOf(files);
    if (!isDeepStrictEqual(material, rpc.current)) rpc.update(material);
  }

  #logFailure(error: unknown): void {
    this.#options.logger.warn({ err: error }, "cannot renew the certificate of this server");
  }
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
