import type { X509Certificate } from "node:crypto";
import { setMaxListeners } from "node:events";
import type { TLSSocket } from "node:tls";
import { BerthError, isBerthError } from "../errors.js";
import {
  type CertificateFacts,
  certificateFacts,
  requireValidAt,
  type Trust,
  verifyCertificate,
} from "../identity/certificate.js";
import { describeIdentity, type Identity } from "../identity/identity.js";
import { RENEWAL_GRACE_MS } from "../identity/renewal.js";
import type { Revocations } from "./authorization.js";
import { ANONYMOUS, type Caller } from "./caller.js";

/** The policy that decides whether a certificate is accepted. */
export interface CallerPolicy {
  readonly trust: Trust;
  readonly revocations: Revocations | undefined;
}

/** Time for a connection to deliver the errors of its calls after its certificate was rejected. */
const CLOSE_AFTER_MS = 2_000;

/**
 * Longest delay between two reviews. setTimeout supports 24 days at most, and a review in between also notices a clock
 * that was set.
 */
const MAX_REVIEW_DELAY_MS = 60 * 60 * 1_000;

const SERVER_CLOCK_TEXT = "the server's clock";

/**
 * One TLS connection to a server and the caller that its certificate proves.
 *
 * TLS verifies a certificate when a connection is opened. This class verifies it again: when it expires, when a
 * certificate is revoked, and when the trusted authorities change. Then the calls of the connection end.
 */
export class CallerConnection {
  readonly #socket: TLSSocket;
  readonly #certificate: X509Certificate | undefined;
  readonly #ended = new AbortController();
  #facts: CertificateFacts | undefined;
  /** Facts of a certificate whose only problem is that it has expired. */
  #expired: CertificateFacts | undefined;
  #issuedTo: Identity | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: TLSSocket, policy: CallerPolicy) {
    this.#socket = socket;
    this.#certificate = socket.getPeerX509Certificate();
    // Each call adds a listener.
    setMaxListeners(0, this.#ended.signal);
    socket.once("close", () => clearTimeout(this.#timer));
    this.review(policy);
  }

  /** Aborts with BERTH_UNAUTHENTICATED when the certificate is not accepted, or no longer accepted. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** The identity for which the cluster issued the certificate, which may have since expired or been revoked. */
  get issuedTo(): Identity | undefined {
    return this.#issuedTo;
  }

  /**
   * Returns the caller.
   *
   * @throws BerthError BERTH_UNAUTHENTICATED if its certificate is not accepted
   */
  authenticate(): Caller {
    this.#rejectOnError(() => {
      if (this.#facts !== undefined) {
        requireValidAt(this.#facts, { nowMs: Date.now(), clock: SERVER_CLOCK_TEXT });
      }
    });
    if (this.#ended.signal.aborted) throw this.#ended.signal.reason;
    return this.#facts?.identity ?? ANONYMOUS;
  }

  /**
   * Returns the caller of a call that renews a certificate, for which a recently expired certificate is accepted.
   *
   * @throws BerthError BERTH_UNAUTHENTICATED if its certificate is not accepted even for that
   */
  authenticateForRenewal(): Caller {
    const expired = this.#expired;
    if (expired !== undefined && Date.now() <= expired.notAfterMs + RENEWAL_GRACE_MS) return expired.identity;
    return this.authenticate();
  }

  /** Closes the connection at once. Its calls end. */
  close(): void {
    this.#socket.destroy();
  }

  /** Verifies the certificate with the current policy. */
  review(policy: CallerPolicy): void {
    if (this.#certificate === undefined || this.#ended.signal.aborted) return;
    const certificate = this.#certificate;
    this.#expired = undefined;
    this.#rejectOnError(() => {
      this.#facts = this.#verify(certificate, policy);
      // Covers what is not verified above, such as the validity of the CA certificate.
      if (!this.#socket.authorized) throw unauthenticatedError(String(this.#socket.authorizationError));
    });
    if (!this.#ended.signal.aborted) this.#scheduleExpiry(policy);
  }

  #verify(certificate: X509Certificate, policy: CallerPolicy): CertificateFacts {
    try {
      return this.#verifyAt(certificate, policy, Date.now());
    } catch (error) {
      if (isBerthError(error) && error.details.reason === "expired") {
        const { notBeforeMs } = certificateFacts(certificate);
        // Throws for a certificate that has other problems, too.
        this.#expired = this.#verifyAt(certificate, policy, notBeforeMs);
      }
      throw error;
    }
  }

  #verifyAt(
    certificate: X509Certificate,
    { trust, revocations }: CallerPolicy,
    nowMs: number,
  ): CertificateFacts {
    const facts = verifyCertificate(certificate, trust, { nowMs, clock: SERVER_CLOCK_TEXT });
    this.#issuedTo = facts.identity;
    if (revocations?.isRevoked(facts) === true) {
      throw unauthenticatedError(
        `certificate of ${describeIdentity(facts.identity)} with the serial number ${facts.serial} has been revoked`,
        { reason: "revoked" },
      );
    }
    return facts;
  }

  #scheduleExpiry(policy: CallerPolicy): void {
    clearTimeout(this.#timer);
    const leftMs = (this.#facts?.notAfterMs ?? 0) + 1 - Date.now();
    this.#timer = setTimeout(() => this.review(policy), Math.min(Math.max(leftMs, 0), MAX_REVIEW_DELAY_MS));
    this.#timer.unref();
  }

  #rejectOnError(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#reject(isBerthError(error, "BERTH_UNAUTHENTICATED") ? error : toUnauthenticatedError(error));
    }
  }

  /** Ends the calls of this connection, and soon the connection. A new connection is verified from the start. */
  #reject(error: BerthError): void {
    if (this.#ended.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#ended.abort(error);
    this.#timer = setTimeout(() => this.#socket.destroy(), CLOSE_AFTER_MS);
    this.#timer.unref();
  }
}

function toUnauthenticatedError(error: unknown): BerthError {
  const details = isBerthError(error) ? error.details : {};
  return unauthenticatedError(error instanceof Error ? error.message : String(error), details);
}

function unauthenticatedError(reason: string, details: Readonly<Record<string, string>> = {}): BerthError {
  return new BerthError({
    code: "BERTH_UNAUTHENTICATED",
    message: `the server rejected the certificate: ${reason}`,
    details,
  });
}
