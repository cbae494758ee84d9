import type { IdentityFiles } from "@berth/proto/identity";
import { linkSignals } from "../runtime/abort.js";
import { ensureCertificate, type OwnCertificate, renewUntilAborted } from "./own-certificate.js";

export interface CertificateEvents {
  /** Called with each issued certificate, and with the current one at each check, once it is stored. */
  readonly onStored: (files: IdentityFiles) => void;
  readonly onFailure: (error: unknown) => void;
}

/**
 * Manages a certificate that a server issues to itself: reissues it after half of its validity, and when its authorities
 * change.
 */
export class CertificateManager {
  readonly #own: OwnCertificate;
  readonly #events: CertificateEvents;
  #files: IdentityFiles;
  #renewal: { stop(): Promise<void> } | undefined;

  /** `files` are the current certificate. */
  constructor(own: OwnCertificate, files: IdentityFiles, events: CertificateEvents) {
    this.#own = own;
    this.#files = files;
    this.#events = events;
  }

  /**
   * Reissues the certificate if it no longer matches its authorities.
   *
   * @throws BerthError
   */
  async reissueIfNeeded(signal: AbortSignal): Promise<void> {
    this.#setFiles(await ensureCertificate(this.#own, signal));
  }

  /** Starts renewing the certificate after half of its validity. */
  startRenewal(signal: AbortSignal): void {
    const linked = linkSignals(signal);
    const ended = renewUntilAborted(
      this.#own,
      {
        files: this.#files,
        onRenewed: (files) => this.#setFiles(files),
        onFailure: this.#events.onFailure,
      },
      linked.signal,
    );
    this.#renewal = {
      stop: async () => {
        linked.abort();
        linked.unlink();
        await ended;
      },
    };
  }

  /** Stops the renewal, so that `reissueIfNeeded` does not overlap with it. */
  async stopRenewal(): Promise<void> {
    await this.#renewal?.stop();
    this.#renewal = undefined;
  }

  #setFiles(files: IdentityFiles): void {
    this.#files = files;
    this.#events.onStored(files);
  }
}
