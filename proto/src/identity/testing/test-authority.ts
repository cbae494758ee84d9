import { type Authority, createAuthority, createRequest, issueCertificate } from "../authority.js";
import type { Identity } from "../identity.js";
import { createKey } from "../private-key.js";

export const HOUR_MS = 60 * 60 * 1_000;

export interface IssuedIdentity {
  readonly certificate: string;
  readonly key: string;
}

/** Start and end of a certificate, relative to now. */
export interface TestValidity {
  readonly fromMs?: number;
  readonly untilMs?: number;
}

/** A certificate authority of a test cluster, valid for some hours. */
export class TestAuthority {
  readonly authority: Authority;

  private constructor(authority: Authority) {
    this.authority = authority;
  }

  static async create(cluster = "test"): Promise<TestAuthority> {
    const validity = { nowMs: Date.now(), backdateMs: 10 * HOUR_MS, durationMs: 10 * HOUR_MS };
    return new TestAuthority(await createAuthority(cluster, validity));
  }

  get certificate(): string {
    return this.authority.certificate;
  }

  /** Issues a certificate for a new key. */
  async issue(identity: Identity, validity: TestValidity = {}): Promise<IssuedIdentity> {
    const key = createKey();
    return { certificate: await this.certify(key, identity, validity), key };
  }

  /** Issues a certificate for a key. */
  async certify(
    key: string,
    identity: Identity,
    { fromMs = -HOUR_MS, untilMs = HOUR_MS }: TestValidity = {},
  ) {
    return issueCertificate(this.authority, {
      request: await createRequest(key),
      identity,
      validity: { nowMs: Date.now(), backdateMs: -fromMs, durationMs: untilMs },
    });
  }
}
