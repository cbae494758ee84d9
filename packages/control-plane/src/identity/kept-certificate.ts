import type { IdentityFiles } from "@berth/proto/identity";
import { linkSignals } from "../runtime/abort.js";
import { ensureCertificate, keepCertificate, type OwnCertificate } from "./own-certificate.js";

export interface KeptCertificateEvents {
  /** Called with each certificate that is issued, and with the current one at each check, once it is stored. */
  readonly onStored: (files: IdentityFiles) => void;
  readonly onFailure: (error: unknown) => void;
}

/** A certificate that a server issues to itself after half of its validity, and when its authorities have changed. */
export class KeptCertificate {
  readonly #own: OwnCertificate;
  readonly #events: KeptCertificateEvents;
  #files: IdentityFiles;
  #renewal: { stop(): Promise<void> } | undefined;

  /** `files` are the current certificate. */
  constructor(own: OwnCertificate, files: IdentityFiles, events: KeptCertificateEvents) {
    this.#own = own;
    this.#files = files;
    this.#events = events;
  }

  /** Issues the certificate again if it does not fit its authorities any more. @throws BerthError */
  async check(signal: AbortSignal): Promise<void> {
    this.#use(await ensureCertificate(this.#own, signal));
  }

  /** Starts to renew the certificate after half of its validity. */
  startRenewal(signal: AbortSignal): void {
    const linked = linkSignals(signal);
    const ended = keepCertificate(
      this.#own,
      {
        files: this.#files,
        onRenewed: (files) => this.#use(files),
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

  /** Stops the renewal, so that `check` does not overlap with it. */
  async stopRenewal(): Promise<void> {
    await this.#renewal?.stop();
    this.#renewal = undefined;
  }

  #use(files: IdentityFiles): void {
    this.#files = files;
    this.#events.onStored(files);
  }
}
