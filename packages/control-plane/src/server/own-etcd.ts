import type { Authority } from "@berth/proto";
import { type IdentityFiles, parseCertificate, readTrust } from "@berth/proto/identity";
import type { Logger } from "pino";
import { type EtcdTrust, isSameSet } from "../core/authorities/etcd-rotation.js";
import type { CertificateManager } from "../identity/certificate-manager.js";
import type { EtcdCertificate } from "../identity/etcd-certificate.js";
import type { HeldClusterKey } from "../identity/held-cluster-key.js";
import { Emitter } from "../runtime/emitter.js";
import type { EmbeddedEtcd } from "../store/embedded/embedded-etcd.js";
import type { EtcdStore } from "../store/etcd/etcd-store.js";

export interface OwnEtcdOptions {
  readonly etcd: Pick<EmbeddedEtcd, "authorities" | "restart">;
  readonly store: Pick<EtcdStore, "updateTls" | "leaveFirstMember">;
  readonly certificate: EtcdCertificate;
  readonly heldKey: HeldClusterKey;
  readonly logger: Logger;
}

/** The embedded etcd of this server, with its certificate and the authorities that it trusts. */
export class OwnEtcd {
  readonly #options: OwnEtcdOptions;
  readonly #certificateManager: CertificateManager;
  readonly #changed = new Emitter();
  #files: IdentityFiles;
  #trust: EtcdTrust;
  /** Aborted by `stop`. */
  readonly #stopping = new AbortController();

  constructor(options: OwnEtcdOptions) {
    this.#options = options;
    const { certificate, logger } = options;
    this.#files = certificate.files;
    this.#certificateManager = certificate.manage({
      onStored: (files) => this.#setFiles(files),
      onFailure: (error) => logger.warn({ err: error }, "cannot renew the certificate for etcd"),
    });
    this.#trust = this.#currentTrust();
    this.#certificateManager.startRenewal(this.#stopping.signal);
  }

  /** The authority that issued this server's etcd certificate, and the authorities that its etcd trusts. */
  get trust(): EtcdTrust {
    return this.#trust;
  }

  /** Calls the listener when `trust` has changed. The returned function removes the listener. */
  subscribe(listener: () => void): () => void {
    return this.#changed.on(listener);
  }

  /**
   * Stores the authorities that etcd must trust. Reissues the certificate if the issuing authority has changed. etcd
   * itself trusts them after its next start, and this server's client at once.
   *
   * @throws BerthError BERTH_IDENTITY_INVALID if the cluster key does not decrypt them
   */
  async setAuthorities(authorities: readonly Authority[], signal: AbortSignal): Promise<void> {
    const { heldKey } = this.#options;
    if (
      haveSameStates(heldKey.etcdAuthorities, authorities) &&
      hasSameAuthorities(this.#files, authorities)
    ) {
      return;
    }
    await this.#certificateManager.stopRenewal();
    try {
      await heldKey.storeEtcdAuthorities(authorities);
      await this.#certificateManager.reissueIfNeeded(signal);
    } finally {
      this.#certificateManager.startRenewal(this.#stopping.signal);
    }
    this.#updateTrust();
  }

  /**
   * Restarts etcd, which then trusts the stored authorities. Other members serve meanwhile.
   *
   * @throws BerthError BERTH_ETCD_UNAVAILABLE, BERTH_ETCD_FAILED, BERTH_IDENTITY_INVALID
   */
  async restart(signal: AbortSignal): Promise<void> {
    const { etcd, store } = this.#options;
    await store.leaveFirstMember(signal);
    await etcd.restart(signal);
    this.#updateTrust();
  }

  /** Ends the renewal of the certificate. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#certificateManager.stopRenewal();
  }

  #setFiles(files: IdentityFiles): void {
    this.#files = files;
    this.#options.store.updateTls(files);
  }

  #updateTrust(): void {
    this.#trust = this.#currentTrust();
    this.#changed.emit();
  }

  #currentTrust(): EtcdTrust {
    const x509 = parseCertificate(this.#files.certificate);
    const currentAuthorities = readTrust(this.#files.authorities).authorities;
    const issuer = currentAuthorities.find(
      (candidate) => x509.checkIssued(candidate.x509) && x509.verify(candidate.x509.publicKey),
    );
    const { authorities } = readTrust(this.#options.etcd.authorities);
    return {
      issuer: issuer?.fingerprint ?? "",
      trusted: authorities.map(({ fingerprint }) => fingerprint),
    };
  }
}

/** Returns whether both lists contain the same authorities in the same states. */
function haveSameStates(a: readonly Authority[], b: readonly Authority[]): boolean {
  const idOf = ({ fingerprint, state }: Authority): string => `${fingerprint} ${state}`;
  return isSameSet(a.map(idOf), b.map(idOf));
}

/** Returns whether exactly these authorities are stored with the certificate. After a crash, it can have earlier ones. */
function hasSameAuthorities(
  { authorities: bundle }: IdentityFiles,
  authorities: readonly Authority[],
): boolean {
  const trusted = readTrust(bundle).authorities.map(({ fingerprint }) => fingerprint);
  return isSameSet(
    trusted,
    authorities.map(({ fingerprint }) => fingerprint),
  );
}
