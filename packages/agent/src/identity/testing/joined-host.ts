import {
  type Authority,
  createAuthority,
  createRequest,
  type Identity,
  IdentityDirectory,
  issueCertificate,
} from "@berth/proto/identity";
import { identityPath } from "../host-identity.js";

export const HOUR_MS = 60 * 60 * 1_000;

const DAY_MS = 24 * HOUR_MS;

/** Start and end of a certificate, relative to now. */
export interface TestValidity {
  readonly fromMs?: number;
  readonly untilMs?: number;
}

/** The authority of a test cluster, which gives identities to data directories. */
export class TestCluster {
  readonly authority: Authority;

  private constructor(authority: Authority) {
    this.authority = authority;
  }

  static async create(cluster = "test"): Promise<TestCluster> {
    const validity = { nowMs: Date.now(), backdateMs: 90 * DAY_MS, durationMs: 90 * DAY_MS };
    return new TestCluster(await createAuthority(cluster, validity));
  }

  /** Stores an identity in a data directory, as `berth agent join` does. */
  async join(dataDir: string, identity: Identity, validity: TestValidity = {}): Promise<void> {
    const directory = await IdentityDirectory.open(identityPath(dataDir));
    const request = await createRequest(await directory.prepareKey());
    await directory.store(await this.certify(request, identity, validity));
  }

  async certify(
    request: string,
    identity: Identity,
    { fromMs = -HOUR_MS, untilMs = HOUR_MS }: TestValidity = {},
  ): Promise<{ readonly certificate: string; readonly authorities: string }> {
    const certificate = await issueCertificate(this.authority, {
      request,
      identity,
      validity: { nowMs: Date.now(), backdateMs: -fromMs, durationMs: untilMs },
    });
    return { certificate, authorities: this.authority.certificate };
  }
}
