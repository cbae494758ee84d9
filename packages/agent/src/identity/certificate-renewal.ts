import { type Authorities, BerthError, ControlServiceService, isBerthError } from "@berth/proto";
import {
  type CertificateFacts,
  certificateFacts,
  describeIdentity,
  type IdentityFiles,
  keepCertificateValid,
  parseCertificate,
  RENEWAL_GRACE_MS,
  readTrust,
  verifyCertificate,
} from "@berth/proto/identity";
import { type RpcTransport, tlsMaterialOf } from "@berth/proto/rpc";
import type { Logger } from "pino";
import { currentFacts, type HostIdentity } from "./host-identity.js";

export interface CertificateRenewalOptions {
  readonly identity: HostIdentity;
  readonly transport: RpcTransport;
  /** Returns the addresses of servers, in the order in which to try them. */
  readonly servers: () => readonly string[];
  readonly log: Logger;
}

/**
 * Maximum delay before a renewal that the leader requests. It spreads the renewals of 10,000 nodes over less than this.
 */
const MAX_SPREAD_MS = 30 * 60_000;

type NewCertificate = Omit<IdentityFiles, "key">;

/**
 * Renews the certificate of this host. New connections use the new certificate. `SessionHandover` then replaces the
 * session with the leader; streams stay on their connection until the old certificate expires.
 */
export class CertificateRenewal {
  readonly #options: CertificateRenewalOptions;
  #lastProblem = "";

  constructor(options: CertificateRenewalOptions) {
    this.#options = options;
  }

  /** Resolves when the certificate is unexpired by this host's clock, or when the signal is aborted. */
  async waitUntilUnexpired(signal: AbortSignal): Promise<void> {
    const { identity } = this.#options;
    if (Date.now() <= currentFacts(identity).notAfterMs || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const finish = (): void => {
        unsubscribe();
        signal.removeEventListener("abort", finish);
        resolve();
      };
      const unsubscribe = identity.rpc.subscribe(finish);
      signal.addEventListener("abort", finish, { once: true });
    });
  }

  /** Renews the certificate after half of its validity, until the signal is aborted. Logs and retries failures. */
  async run(signal: AbortSignal): Promise<void> {
    const { identity, log } = this.#options;
    const files = await identity.directory.load();
    if (files === undefined) throw new Error("the certificate was removed while the agent started");
    await keepCertificateValid(
      {
        directory: identity.directory,
        files,
        jitter: Math.random(),
        demand: identity.demand,
        graceMs: RENEWAL_GRACE_MS,
        requestCertificate: (request, renewal) => this.#requestCertificate(request, renewal),
        onRenewed: (renewed) => {
          identity.rpc.update(tlsMaterialOf(renewed));
          this.#lastProblem = "";
          log.info({ validUntil: formatTime(currentFacts(identity).notAfterMs) }, "certificate renewed");
        },
        onFailure: (error) => this.#logFailure(error),
      },
      signal,
    );
  }

  /**
   * Tries the servers one after another.
   *
   * @throws the error of the last server
   */
  async #requestCertificate(certificateRequest: string, signal: AbortSignal): Promise<NewCertificate> {
    const { identity, transport, servers } = this.#options;
    let failure: unknown = new Error("no server is known");
    for (const address of servers()) {
      const { calls, close } = transport.connect(ControlServiceService, { address });
      try {
        const renewed = await calls.renewCertificate({ certificateRequest }, { signal });
        return requireSameIdentity(renewed, currentFacts(identity));
      } catch (error) {
        signal.throwIfAborted();
        failure = error;
      } finally {
        close();
      }
    }
    throw failure;
  }

  /** Logs each new problem once rather than for every attempt. */
  #logFailure(error: unknown): void {
    const { identity, log } = this.#options;
    const reason = error instanceof Error ? error.message : String(error);
    if (reason === this.#lastProblem) return;
    this.#lastProblem = reason;
    const facts = currentFacts(identity);
    log.warn(
      {
        reason,
        code: isBerthError(error) ? error.code : undefined,
        validUntil: formatTime(facts.notAfterMs),
      },
      `cannot renew the certificate of ${describeIdentity(facts.identity)}: ${renewalAdvice(facts, Date.now())}`,
    );
  }
}

/**
 * Requests a renewal if this host's certificate was issued by a CA other than the current one, or if this host trusts a
 * CA that was removed.
 *
 * @param random a number from 0 to 1, which spreads the renewals of all nodes over `spreadMs`
 */
export function renewIfUntrusted(
  { rpc, demand }: Pick<HostIdentity, "rpc" | "demand">,
  { issuing, trusted, spreadMs }: Authorities,
  { nowMs, random }: { readonly nowMs: number; readonly random: number },
): void {
  const trustedHere = readTrust(rpc.current.authorities).authorities;
  const x509 = parseCertificate(rpc.current.leaf?.certificate ?? "");
  const issuer = trustedHere.find((authority) => x509.checkIssued(authority.x509));
  const isCurrent =
    issuer?.fingerprint === issuing && trustedHere.every(({ fingerprint }) => trusted.includes(fingerprint));
  if (!isCurrent) demand.request(nowMs + Math.round(random * Math.min(spreadMs, MAX_SPREAD_MS)));
}

/** Returns the advice to log while renewals fail. */
export function renewalAdvice(facts: CertificateFacts, nowMs: number): string {
  if (nowMs <= facts.notAfterMs) return "retrying; the certificate is still valid";
  const graceEndMs = facts.notAfterMs + RENEWAL_GRACE_MS;
  const clock = `this host's clock says ${formatTime(nowMs)}`;
  if (nowMs <= graceEndMs) {
    return `retrying; the certificate has expired, but can be used for its renewal until ${formatTime(graceEndMs)} (${clock})`;
  }
  return `the certificate expired too long ago (${clock}); run "berth agent join ADDRESS --force" with a new token, or correct the clock`;
}

/**
 * Returns a new certificate if it has the same identity and was issued by a CA in its bundle. No other certificate may be
 * stored.
 *
 * @throws BerthError BERTH_CERTIFICATE_INVALID, BERTH_PROTOCOL
 */
export function requireSameIdentity(renewed: NewCertificate, current: CertificateFacts): NewCertificate {
  const x509 = parseCertificate(renewed.certificate);
  const { notBeforeMs } = certificateFacts(x509);
  const next = verifyCertificate(x509, readTrust(renewed.authorities), { nowMs: notBeforeMs });
  const [expected, actual] = [current, next].map(({ identity }) => describeIdentity(identity));
  if (next.cluster === current.cluster && actual === expected) return renewed;
  throw new BerthError({
    code: "BERTH_PROTOCOL",
    message: `the server returned a certificate for ${actual} of the cluster ${next.cluster} instead of ${expected} of ${current.cluster}`,
  });
}

function formatTime(ms: number): string {
  return new Date(ms).toISOString();
}
